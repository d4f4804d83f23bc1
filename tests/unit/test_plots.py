"""plots: every figure is complete, readable and described in words, and does not change the user's settings."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib
import matplotlib.style
import nbclient
import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from nbhelpers import plots

pytestmark = pytest.mark.slow

NAMES = ["neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"]
LONG = [f"an emotion with a long name {i}" for i in range(20)]


def counts(names, columns, seed=0):
    return pd.DataFrame(np.random.default_rng(seed).integers(1, 3000, (len(names), len(columns))), names, columns)


def history(runs):
    train = pd.DataFrame({"epoch": np.arange(1, 21) / 4, "train_loss": np.linspace(1.8, 0.4, 20)})
    dev = pd.DataFrame({"epoch": [1, 2, 3, 4, 5.0], "dev_loss": [1.2, 1.0, 1.1, 1.3, 1.4]})
    dev["dev_weighted_f1"] = [0.5, 0.58, 0.61, 0.6, 0.59]
    return pd.concat([pd.concat([train, dev]).assign(run=run) for run in runs])


def dialogue(turns, names=NAMES):
    rng = np.random.default_rng(turns)
    speakers = rng.choice(["Joey", "The Interviewer", "Rachel", "Chandler"], turns)
    texts = ["WELL, that costs $5 or $10, " * 9 if i % 2 else "Oh_no! \\o/" for i in range(turns)]
    return {"speakers": list(speakers), "labels": list(rng.choice(names, turns)), "texts": texts, "names": names}


def bins(num_bins):
    edges = np.linspace(0, 1, num_bins + 1)
    frame = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": np.arange(num_bins) * 70})
    frame["confidence"] = (frame["low"] + frame["high"]) / 2
    frame["accuracy"] = frame["confidence"] * 0.9 + 0.03
    return frame.assign(**frame[["confidence", "accuracy"]].where(frame["count"] > 0))


def shares(lines, columns):
    table = counts(lines, columns)
    return table.div(table.sum(axis=1), axis=0)


def passes(num_passes, num_texts, num_classes):
    return np.random.default_rng(0).dirichlet(np.full(num_classes, 0.8), (num_passes, num_texts))


def over_updates(runs):
    index = pd.Index(np.arange(1, 41) * 5, name="update")
    frame = pd.DataFrame({run: np.linspace(0.02, 0.1 + 0.1 * i, 40) for i, run in enumerate(runs)}, index)
    if len(runs) > 1:
        frame.iloc[20:, -1] = np.nan  # the last run stops early
    return frame


SCORES = pd.DataFrame(
    {"score": [31.3, 62.4, 66.5], "low": [29.3, 60.4, np.nan], "high": [33.4, 64.3, np.nan]},
    index=["majority class", "MiniLM, five turns of context before", "published elsewhere"],
)
MAKE = {
    "labels": lambda: plots.label_distribution(counts(NAMES, ["train", "dev", "test"])),
    "labels, one split": lambda: plots.label_distribution(counts(NAMES, ["train"])),
    "labels, 20 long": lambda: plots.label_distribution(counts(LONG, ["train", "validation", "test"])),
    "lengths": lambda: plots.length_histogram(np.random.default_rng(0).poisson(14, 5000) + 2, max_tokens=4096),
    "lengths, long": lambda: plots.length_histogram(np.random.default_rng(0).integers(3, 5000, 900), padded_to=512),
    "lengths, all the same": lambda: plots.length_histogram([7, 7, 7]),
    "transitions": lambda: plots.transitions(counts(NAMES, NAMES)),
    "transitions, an empty line": lambda: plots.transitions(counts(NAMES, NAMES).mul([1, 1, 0, 1, 1, 1, 1], axis=0)),
    "confusion": lambda: plots.confusion_matrix(counts(NAMES, NAMES)),
    "confusion, 2 classes": lambda: plots.confusion_matrix(counts(["no", "yes"], ["no", "yes"])),
    "confusion, 20 long": lambda: plots.confusion_matrix(counts(LONG, LONG)),
    "timeline": lambda: plots.timeline(**dialogue(9)),
    "timeline, 1 turn": lambda: plots.timeline(**dialogue(1)),
    "timeline, 16 turns": lambda: plots.timeline(**dialogue(16)),
    "timeline, 33 turns": lambda: plots.timeline(**dialogue(33)),
    "timeline, long names": lambda: plots.timeline(**dialogue(12, LONG)),
    "curves": lambda: plots.learning_curves(history(["seed 0"])),
    "curves, 1 epoch": lambda: plots.learning_curves(
        pd.DataFrame({"epoch": [1], "dev_loss": [1.1], "train_loss": [1.2]})
    ),
    "curves, steps": lambda: plots.learning_curves(pd.DataFrame({"step": [500, 1000], "dev_weighted_f1": [0.5, 0.6]})),
    "curves, 6 runs": lambda: plots.learning_curves(history([f"distilroberta-base, context {i}" for i in range(6)])),
    "reliability": lambda: plots.reliability_diagram(bins(15), 0.05),
    "reliability, 5 bins": lambda: plots.reliability_diagram(bins(5), 0.05),
    "batch": lambda: plots.batch_shape([3, 9, 12, 5] * 8),
    "batch, 1 text": lambda: plots.batch_shape([7], padded_to=128),
    "threshold": lambda: plots.threshold_curve([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], 0.5, "joy"),
    "scores": lambda: plots.score_bars(SCORES),
    "probabilities": lambda: plots.class_probabilities(shares(["the turn alone", "5 before, 0 after"], NAMES)),
    "probabilities, 1 line": lambda: plots.class_probabilities(shares(["the turn alone"], ["no", "yes"])),
    "probabilities, 4 lines, 20 long": lambda: plots.class_probabilities(shares(["a", "b", "c", "d"], LONG)),
    "scores, 1 line": lambda: plots.score_bars(SCORES.iloc[:1]),
    "spread": lambda: plots.dropout_spread(passes(30, 3, 7), ["Oh_no! It costs $5.", "So\nso.", "WELL, " * 40], NAMES),
    "spread, 1 pass": lambda: plots.dropout_spread(passes(1, 1, 2), ["Fine."], ["no", "yes"]),
    "spread, 20 long": lambda: plots.dropout_spread(passes(30, 2, 20), ["Fine.", "Not at all."], LONG),
    "tokens": lambda: plots.token_attributions(["[CLS]", "Oh_no!", "$5", "can"], [0.0, 1.5, -0.5, 0.2], "joy"),
    "tokens, 50": lambda: plots.token_attributions([f"a long token {i}" for i in range(50)], np.linspace(-3, 2, 50)),
    "runs": lambda: plots.run_curves(over_updates(["plain", "R-Drop"]), "KL of two passes (nats)"),
    "runs, 1 point": lambda: plots.run_curves(over_updates(["plain"]).iloc[:1], "KL"),
    "runs, 6 runs": lambda: plots.run_curves(over_updates([f"distilroberta-base, run {i}" for i in range(6)]), "KL"),
}


@pytest.fixture(scope="module", params=MAKE)
def named_picture(request):
    return request.param, MAKE[request.param]()


@pytest.fixture
def picture(named_picture):
    return named_picture[1]


def visible_texts(picture):
    """The text objects that are drawn, each with its bounding box in pixels."""
    picture.draw_without_rendering()
    texts = [text for text in picture.findobj(Text) if text.get_visible() and text.get_text().strip()]
    shown = []
    for text in texts:
        axis_off = text.axes is not None and not text.axes.axison and text not in text.axes.texts
        if not axis_off and np.isfinite(text.get_window_extent().extents).all():
            shown.append((text, text.get_window_extent().extents))
    ticks = {id(t) for axes in picture.axes for axis in (axes.xaxis, axes.yaxis) for t in hidden_ticks(axis)}
    return [(text, box) for text, box in shown if id(text) not in ticks]


def hidden_ticks(axis):
    """Tick labels that matplotlib keeps but does not draw, because they are outside of the view."""
    low, high = sorted(axis.get_view_interval())
    return [
        label
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not low - 1e-9 <= tick.get_loc() <= high + 1e-9
    ]


def contrast(one, other):
    """The contrast ratio of two colors, from 1 to 21, as WCAG defines it."""

    def luminance(color):
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)]
        return np.dot(parts, [0.2126, 0.7152, 0.0722])

    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_every_picture_has_a_description_and_a_summary(picture):
    assert len(picture.alt) > 20
    assert len(picture.summary) > 20
    for words in (picture.alt, picture.summary):
        assert "\n" not in words
        assert words.endswith(".")
        assert "nan" not in words.lower().split()
    assert any(letter.isdigit() for letter in picture.summary)


def test_texts_are_inside_the_picture_and_do_not_overlap(named_picture):
    name, picture = named_picture
    texts = visible_texts(picture)
    assert texts
    x0, y0, x1, y1 = np.array([box for _, box in texts]).T
    width, height = picture.bbox.size
    outside = [
        text.get_text() for text, box in texts if (box < -0.5).any() or box[2] > width + 0.5 or box[3] > height + 0.5
    ]
    assert not outside, f"{name}: {outside}"
    overlap_x = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0)
    overlap_y = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0)
    pairs = np.argwhere(np.triu((overlap_x > 1) & (overlap_y > 1), k=1))
    clashes = [(texts[i][0].get_text(), texts[j][0].get_text()) for i, j in pairs]
    assert not clashes, f"{name}: {clashes}"


def test_texts_have_enough_contrast(picture):
    assert to_rgb(picture.get_facecolor()) == (1, 1, 1)
    for text, _ in visible_texts(picture):
        behind = "white"
        for mesh in text.axes.findobj(QuadMesh) if text.axes is not None and text in text.axes.texts else []:
            size = mesh.get_array().shape[1]
            column, row = np.floor(text.get_position()).astype(int)
            behind = mesh.get_facecolors()[row * size + column]
        assert contrast(text.get_color(), behind) >= 4.5, text.get_text()


def test_pictures_are_small_and_keep_their_colors(named_picture):
    name, picture = named_picture
    assert 5 <= picture.get_size_inches()[0] <= (9 if "long" not in name else 13)
    png, full = picture.png(), io.BytesIO()
    assert len(png) < (60_000 if "20 long" not in name else 160_000)
    picture.savefig(full, format="png", dpi=100)
    small, large = (np.asarray(Image.open(source).convert("RGB"), dtype=int) for source in (io.BytesIO(png), full))
    assert np.abs(small - large).max() <= 16


@pytest.mark.parametrize("name", ["labels", "labels, 20 long", "transitions", "confusion", "confusion, 20 long"])
def test_all_labels_are_written_in_full(name):
    texts = [text.get_text().split(" (")[0] for text, _ in visible_texts(MAKE[name]())]
    assert set(LONG if "long" in name else NAMES) <= set(texts)


def test_label_distribution_states_the_shares():
    frame = pd.DataFrame({"train": [4710, 268, 5011], "dev": [470, 40, 599]}, index=["neutral", "fear", "rest"])
    picture = plots.label_distribution(frame.drop(columns="dev").iloc[[1, 0, 2]])
    assert (
        picture.summary == "rest is the largest class of train with 50.2 % of 9,989 rows; fear the smallest with 2.7 %."
    )
    assert "47.2 % (4,710)" in [text.get_text() for text, _ in visible_texts(picture)]
    assert "differ most for neutral: by 4.8 points" in plots.label_distribution(frame).summary


def test_length_histogram_states_what_padding_costs():
    lengths = [10] * 90 + [100] * 9 + [300]
    summary = plots.length_histogram(pd.Series(lengths), padded_to=128, max_tokens=2048).summary
    padding = 100 - 100 * sum(min(n, 128) for n in lengths) / (100 * 128)
    assert f"Padded to 128, {padding:.1f} % of all tokens would be padding and 1 rows cut." in summary
    assert "Half of the rows have up to 10 tokens, 95 % up to 100, the longest has 300." in summary
    assert "2,048 tokens holds 16 rows of that length, or 98 rows of the mean length, 21.0." in summary


def test_heat_maps_state_the_shares():
    names = ["neutral", "joy", "fear"]
    frame = pd.DataFrame([[8, 2, 0], [5, 4, 1], [0, 0, 0]], index=names, columns=names)
    picture = plots.transitions(frame)
    assert picture.summary == (
        "The next turn keeps the label in 60.0 % of 20 pairs: neutral is kept most (80.0 %), joy least (40.0 %)."
    )
    assert "neutral: neutral 80 %; joy: neutral 50 %." in picture.alt
    picture = plots.confusion_matrix(frame)
    assert picture.summary == (
        "Recall is best for neutral (80.0 % of 10), worst for joy (40.0 % of 10). "
        "Most frequent error: joy as neutral (5)."
    )
    texts = [text.get_text() for text, _ in visible_texts(picture)]
    assert {"8\n80 %", "5\n50 %", "neutral (10)", "fear (0)"} <= set(texts)
    diagonal = pd.DataFrame(np.diag([3, 2, 1]), index=names, columns=names)
    assert plots.confusion_matrix(diagonal).summary.endswith("Most frequent error: none.")


def test_the_figures_of_batches_and_thresholds_state_their_numbers():
    summary = plots.batch_shape([200, 28], padded_to=128).summary
    assert summary == "2 texts of up to 128 tokens: 156 tokens and 100 of padding, which is 39.1 % of what is computed."
    rows = [1, 1, 0, 0, 0], [0.9, 0.4, 0.6, 0.1, 0.1]
    assert "recall 100.0 % of 2" in plots.threshold_curve(*rows, threshold=0.4).summary
    assert "precision is not defined, recall 0.0 % of 2" in plots.threshold_curve(*rows, threshold=0.95).summary


def test_of_many_classes_the_figures_show_those_that_matter():
    names = [f"intent {i}" for i in range(150)]
    counts = pd.DataFrame({"train": range(1, 151), "dev": [1] * 150}, index=names)
    picture = plots.label_distribution(counts)
    shown = [text.get_text() for text, _ in visible_texts(picture)]
    assert [name for name in shown if name in names] == names[:-11:-1] + names[9::-1]
    assert "intent 149 is the largest class" in picture.summary
    assert "the 10 largest and the 10 smallest of 150" in picture.get_suptitle()

    table = np.diag([5] * 150)
    table[140, 3] = 7
    picture = plots.confusion_matrix(pd.DataFrame(table, index=names, columns=names))
    assert "worst for intent 140 (41.7 % of 12)" in picture.summary
    assert "Most frequent error: intent 140 as intent 3 (7)." in picture.summary
    assert "The 20 of 150 labels with most errors" in picture.get_suptitle()
    shown = [text.get_text() for text, _ in visible_texts(picture)]
    assert {"intent 140 (12)", "intent 3 (5)", "7\n58 %"} <= set(shown)
    assert max(picture.get_size_inches()) < 13

    pairs = pd.DataFrame(table, index=names, columns=names)
    assert "intent 140: intent 3 58 %" in plots.transitions(pairs).alt

    rows = np.full((2, 150), 0.5 / 149)
    rows[[0, 1], [7, 99]] = 0.5
    picture = plots.class_probabilities(pd.DataFrame(rows, index=["alone", "in context"], columns=names))
    assert picture.summary.startswith("alone: intent 7 50 %; in context: intent 99 50 %.")
    assert max(picture.get_size_inches()) < 9
    picture = plots.dropout_spread(rows[:, None], ["a text"], names)
    assert "the largest class changes for 1 of 1 texts" in picture.summary


def test_characters_that_no_font_has_cost_no_warning(recwarn):
    picture = plots.timeline(["\u6797", "Ann"], ["joy", "anger"], ["\u5f88\u597d\u5403 \U0001f600", "No."])
    picture.png()
    assert not recwarn.list
    assert "\u6797" in picture.alt


def test_timeline_lists_turns_and_gives_each_label_one_look():
    speakers, emotions = ["Joey", "Ross", "Joey"], ["joy", "anger", "anger"]
    picture = plots.timeline(pd.Series(speakers, index=[7, 8, 9]), pd.Series(emotions), pd.Series(["$1", "b\nb", "c"]))
    assert picture.summary == (
        "Turns: 3, speakers: 2. The label differs from the turn before in 1 of 2 cases; most frequent: anger (2)."
    )
    assert "1 Joey: joy; 2 Ross: anger; 3 Joey: anger" in picture.alt
    texts = [text.get_text() for text, _ in visible_texts(picture)]
    assert {"1  Joey: $1", "2  Ross: b b"} <= set(texts)
    assert texts.count("anger") == 2
    looks = {line.get_marker(): line.get_color() for line in picture.axes[0].lines}
    assert looks == {plots.EMOTIONS[name][1]: plots.EMOTIONS[name][0] for name in ("joy", "anger")}

    def look(emotion):
        line = plots.timeline(["Joey"], [emotion], names=LONG).axes[0].lines[0]
        return line.get_color(), line.get_marker()

    assert len({look(name) for name in LONG}) == len(LONG)
    assert len({color for color, _ in plots.EMOTIONS.values()}) == len({m for _, m in plots.EMOTIONS.values()}) == 7


def test_learning_curves_state_the_best_points():
    runs = history(["a", "b"])
    runs.loc[(runs["run"] == "b") & (runs["epoch"] == 4), "dev_weighted_f1"] = 0.7
    assert plots.learning_curves(runs).summary == (
        "Lowest train loss 0.400 at epoch 5 of a; lowest dev loss 1.000 at epoch 2 of a; "
        "highest dev weighted F1 70.0 % at epoch 4 of b."
    )
    styles = {line.get_linestyle() for line in plots.learning_curves(runs).axes[1].lines}
    assert len(styles) == 2


def test_differences_get_a_title_and_a_line_at_zero():
    gains = pd.DataFrame({"score": [4.2, -0.8], "low": [2.1, -2.1], "high": [6.2, 0.5]}, ["ours", "MELD"])
    picture = plots.score_bars(gains, measure="gain (points)", title="What context adds")
    assert picture.get_suptitle() == "What context adds"
    assert [list(line.get_xdata()) for line in picture.axes[0].lines].count([0, 0]) == 1
    assert not any(list(line.get_xdata()) == [0, 0] for line in plots.score_bars(gains[:1]).axes[0].lines)


def test_reliability_diagram_and_score_bars_state_their_numbers():
    assert plots.reliability_diagram(bins(5), 0.031).summary == (
        "ECE 3.1 points over 700 rows: mean confidence 70.0 %, accuracy 66.0 %. The bin 80 to 100 % adds most to it."
    )
    assert plots.score_bars(SCORES).summary == (
        "Highest: published elsewhere with 66.5; lowest: majority class with 31.3 [29.3, 33.4]."
    )
    ticks = [label.get_text() for label in plots.score_bars(SCORES).axes[0].get_yticklabels()]
    assert ticks == list(SCORES.index)
    assert plots.score_bars(SCORES).axes[0].yaxis_inverted()  # the first row is on top


def test_dropout_spread_states_ranges_and_changes():
    table = np.array([[[0.61, 0.39], [0.9, 0.1]], [[0.4, 0.6], [0.8, 0.2]], [[0.5, 0.5], [0.95, 0.05]]])
    picture = plots.dropout_spread(table, pd.Series(["$1 a\nb", "Great!"], index=[4, 5]), ["neutral", "joy"])
    assert picture.summary == (
        "3 passes: the largest class changes for 1 of 2 texts; neutral of text 1 moves most, from 40 to 61 %."
    )
    assert "text 1: neutral 40 to 61, joy 39 to 60; text 2: neutral 80 to 95, joy 5 to 20." in picture.alt
    texts = [text.get_text() for text, _ in visible_texts(picture)]
    assert {"1  $1 a b", "2  Great!", "39 to 60", "neutral", "joy"} <= set(texts)
    first = picture.axes[0].lines[0]
    assert sorted(first.get_xdata()) == [40, 50, 61]
    assert len(set(first.get_ydata())) == 3


@pytest.mark.parametrize(
    ("places", "ticks"), [([0, 1, 2], [0, 1, 2]), ([0.0, 0.1, 0.2], [0.0, 0.04, 0.08, 0.12, 0.16, 0.2])]
)
def test_run_curves_have_ticks_between_whole_numbers_only_where_there_are_points(places, ticks):
    picture = plots.run_curves(pd.DataFrame({"plain": [1.0, 2.0, 3.0]}, pd.Index(places, name="length")), "loss")
    axes = picture.axes[0]
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == pytest.approx(ticks)


def test_run_curves_state_the_last_and_the_highest_value():
    picture = plots.run_curves(over_updates(["plain", "R-Drop"]), "KL")
    assert picture.summary == "KL at the end: plain 0.1, R-Drop 0.108. Highest: 0.108 of R-Drop at update 100."
    assert picture.alt == "Lines of KL over update: plain from 0.020 to 0.100; R-Drop from 0.020 to 0.108."
    looks = [(line.get_color(), line.get_marker(), line.get_linestyle()) for line in picture.axes[0].lines]
    assert [len(set(look)) for look in zip(*looks, strict=True)] == [2, 2, 2]


PAIR = ["neutral", "joy"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: plots.label_distribution(pd.DataFrame({"train": [1, np.nan]})),
            "counts contains NaN.*fill gaps with 0",
        ),
        (lambda: plots.label_distribution(pd.DataFrame({"train": [1], "dev": [0]})), "a split without rows"),
        (lambda: plots.label_distribution(pd.DataFrame()), "counts has shape"),
        (lambda: plots.length_histogram([]), "lengths has shape \\(0,\\)"),
        (lambda: plots.length_histogram([3, -1]), "lengths contains NaN, infinite or negative"),
        (lambda: plots.length_histogram([3], padded_to=0), "padded_to is 0"),
        (lambda: plots.length_histogram([0]), "lengths contains only zeros"),
        (lambda: plots.transitions(pd.DataFrame([[1, 2], [3, 4]], PAIR, PAIR[::-1])), "use one order"),
        (lambda: plots.confusion_matrix(pd.DataFrame([[0, 0], [0, 0]], PAIR, PAIR)), "contains only zeros"),
        (lambda: plots.batch_shape([]), "not empty"),
        (lambda: plots.threshold_curve([0, 0], [0.1, 0.2], 0.5), "at least one 1"),
        (lambda: plots.threshold_curve([1, 0], [0.1], 0.5), "2 rows in is_class but 1 probabilities"),
        (lambda: plots.timeline([], []), "0 speakers but 0 labels"),
        (lambda: plots.timeline(["Joey"], ["joy", "joy"]), "1 speakers but 2 labels"),
        (lambda: plots.timeline(["Joey"], ["joy"], ["a", "b"]), "2 texts but 1 labels"),
        (lambda: plots.timeline(["Joey"], ["glee"], names=PAIR), "\\['glee'\\] are missing in names"),
        (lambda: plots.learning_curves(pd.DataFrame({"epoch": [1], "loss": [1.0]})), "it needs epoch or step"),
        (lambda: plots.learning_curves(pd.DataFrame({"epoch": [1], "dev_weighted_f1": [61.0]})), "up to 61: pass frac"),
        (lambda: plots.learning_curves(history(list("abcdefg"))), "has 7 runs: draw at most 6"),
        (lambda: plots.reliability_diagram(bins(5).drop(columns="low"), 0.1), "it needs low"),
        (lambda: plots.reliability_diagram(bins(5), 5.0), "ece is 5.0: pass a fraction"),
        (lambda: plots.reliability_diagram(bins(5).assign(count=0), 0.1), "no bin with rows"),
        (lambda: plots.score_bars(SCORES / 100), "pass percentage points"),
        (lambda: plots.score_bars(SCORES.assign(low=50.0)), "row majority class: .*outside of its interval"),
        (lambda: plots.score_bars(SCORES[["score"]]), "it needs score, low and high"),
        (lambda: plots.dropout_spread([[0.5, 0.5]], ["a"], PAIR), "passes has shape \\(1, 2\\): pass 3"),
        (lambda: plots.dropout_spread(passes(5, 2, 2), ["a"], PAIR), "pass \\[passes, 1 texts, 2 names\\]"),
        (lambda: plots.dropout_spread(2 * passes(5, 1, 2), ["a"], PAIR), "does not sum to 1"),
        (lambda: plots.run_curves(over_updates(list("abcdefg")), "KL"), "frame has 7 columns"),
        (lambda: plots.run_curves(over_updates(PAIR).assign(joy=np.nan), "KL"), "has no measurement: leave it out"),
    ],
)
def test_errors_are_readable(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("style", ["dark_background", {"font.size": 20, "savefig.bbox": "tight", "axes.grid": True}])
def test_the_users_matplotlib_settings_have_no_effect_and_stay_unchanged(style):
    names = [name for name in MAKE if "," not in name] + ["curves, 6 runs"]
    expected = [MAKE[name]().png() for name in names]
    with matplotlib.style.context(style):
        before = dict(matplotlib.rcParams)
        assert [MAKE[name]().png() for name in names] == expected
        assert dict(matplotlib.rcParams) == before


def test_show_prints_the_summary_outside_a_notebook(capsys):
    picture = plots.score_bars(SCORES)
    plots.show(picture)
    assert capsys.readouterr().out == picture.summary + "\n"


def test_a_notebook_shows_each_picture_once_with_its_alt_text():
    setup = "import matplotlib.pyplot as plt, pandas as pd\nfrom nbhelpers import plots\n"
    setup += "frame = pd.DataFrame({'score': [60.0], 'low': [58.0], 'high': [62.0]}, index=['MiniLM'])"
    cells = [setup, "plots.show(plots.score_bars(frame))", "plots.score_bars(frame)", "plt.get_fignums()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    for cell in notebook.cells[1:3]:  # shown by show, and as the last value of a cell
        (image,) = [output for output in cell.outputs if output.output_type != "stream"]
        (stream,) = [output for output in cell.outputs if output.output_type == "stream"]
        alt = "Points with intervals, score (%). MiniLM 60.0 [58.0, 62.0]."
        assert image["metadata"]["image/png"]["alt"] == alt == image["data"]["text/plain"]
        assert "image/png" in image["data"]
        assert stream["text"].startswith("Highest: MiniLM")
    assert notebook.cells[3].outputs[0]["data"]["text/plain"] == "[]"


def test_the_folder_works_alone_and_without_torch(tmp_path):
    shutil.copytree(Path(plots.__file__).parent, tmp_path / "my_plots")
    unwanted = ("torch", "transformers", "nbhelpers", "matplotlib.pyplot")
    code = "import sys, my_plots; my_plots.length_histogram([3, 4]).png();"
    code += f"print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
