"""The measured results: methods behave on the corpora of this course as they do elsewhere, and reach the stated scores.

TF-IDF is trained here. All other results were measured by `nbhelpers results` and are read from data/results.
"""

import re
import runpy

import numpy as np
import pytest
import torch

from nbhelpers import adapters, encoders, environment, metrics
from nbhelpers.course import experiments, lessons, results
from nbhelpers.course.command import options

BENCHMARK = runpy.run_path(str(lessons.ROOT / "tests" / "benchmarks" / "gpu.py"))
CANDIDATES = runpy.run_path(str(lessons.ROOT / "tests" / "benchmarks" / "candidates.py"))
OWN_DATA = runpy.run_path(str(lessons.ROOT / "tests" / "benchmarks" / "own_data.py"))


def measured(table, row, score="weighted_f1"):
    """The mean test score over the seeds, in percent."""
    scores = [100 * run["test"][score] for run in results.runs(table, row)]
    assert scores, f"the table {table} has no row {row!r}: measure it with `nbhelpers results {table}`"
    return sum(scores) / len(scores)


@pytest.mark.slow
def test_tf_idf_has_a_middling_score_and_the_recorded_one():
    data, names = experiments.read("dialogues")
    probabilities, _ = experiments.tf_idf(data, names, {"C": 4, "class_weight": "balanced"}, seed=0)
    score = 100 * metrics.scores(data["test"].labels, probabilities["test"].argmax(-1), len(names))["weighted_f1"]
    assert 42 <= score <= 65
    assert score == pytest.approx(measured("dialogues", "tf-idf"), abs=0.5)


def test_fine_tuning_beats_tf_idf():
    assert len(results.runs("dialogues", "the turn alone")) >= 5
    assert measured("dialogues", "the turn alone") >= measured("dialogues", "tf-idf") + 3


@pytest.mark.parametrize(
    ("row", "control"),
    [
        ("windows of 4 earlier turns", "windows without earlier turns"),
        ("past and future", "the turn alone"),
        ("past only", "the turn alone"),
    ],
)
def test_context_improves_the_score(row, control):
    """Context scores higher than the turn alone, and significantly higher than the control on the same turns."""
    assert len(results.runs("dialogues", row)) >= 5
    assert measured("dialogues", row) >= measured("dialogues", "the turn alone") + 2
    assert measured("dialogues", row) >= measured("dialogues", "windows without earlier turns") + 2
    test = results.tests("dialogues")[row]
    assert test["against"] == control
    assert test["seeds"] == [0, 1, 2, 3, 4]
    assert test["p_holm"] < 0.05


def test_emotions_transfer_between_the_dialogues_and_meld():
    assert measured("transfer", "dialogues to MELD") >= 45
    assert measured("transfer", "dialogues to MELD", "macro_f1") >= 28
    row = "MELD to dialogues, with context, averaged"
    assert measured("transfer", row) >= 48
    assert measured("transfer", row, "macro_f1") >= 36


def test_the_data_card_states_the_measured_scores(card):
    for text, table, row in [
        ("earlier turns score", "dialogues", "windows of 4 earlier turns"),
        ("without earlier turns", "dialogues", "windows without earlier turns"),
        ("the score is", "dialogues", "past and future"),
        ("tested on MELD**, five seeds:", "transfer", "dialogues to MELD"),
        ('Always "neutral" has', "transfer", "majority"),
        ("the same encoder has", "context", "utterance only"),
        ("with single turns", "transfer", "MELD to dialogues"),
        ('Always "neutral" has', "dialogues", "majority"),
        ("on the dialogues themselves,", "dialogues", "the turn alone"),
        ("rare classes weighted up, has", "transfer", "MELD to dialogues, with context"),
        ("of three such models", "transfer", "MELD to dialogues, with context, averaged"),
    ]:
        statement = f"{text} {measured(table, row):.1f} ({measured(table, row, 'macro_f1'):.1f})"
        assert statement in card, f"data/README.md does not say {statement!r} (table {table}, row {row!r})"


def test_the_data_card_says_where_context_helps(card):
    low, high = (100 * results.tests("dialogues")["windows of 4 earlier turns"][end] for end in ("low", "high"))
    assert f"95 % interval {low:.1f} to {high:.1f}. On test dialogues" in card
    test = experiments.read("dialogues")[0]["test"]
    gold, later_part = np.array(test.labels), np.array(test.dialogue_ids) >= 632  # where the later part starts

    def mean_score(row, part):
        """The mean weighted F1 over the seeds on these rows of test, in percent."""
        runs = np.array(list(results.predictions("dialogues", row).values()))
        return 100 * np.mean([metrics.scores(gold[part], predicted[part], 7)["weighted_f1"] for predicted in runs])

    for part, text in (
        (gold >= 0, "each: {:.1f} points more"),
        (~later_part, "alone it is {:.1f},"),
        (later_part, "matters, {:.1f}."),
    ):
        gain = mean_score("windows of 4 earlier turns", part) - mean_score("windows without earlier turns", part)
        assert text.format(gain) in card, f"data/README.md does not say {text.format(gain)!r}"


@pytest.mark.parametrize("target", ["IMDB", "Amazon and Yelp"])
def test_a_model_of_the_reviews_works_on_real_reviews(target):
    assert measured("reviews", f"two classes, tested on {target}", "accuracy") >= 78


@pytest.mark.parametrize(
    ("table", "row", "weighted", "macro"),
    [
        ("meld", "utterance only", 59.5, 37),
        ("meld", "LoRA", 59.5, 37),
        ("context", "utterance only", 59.5, 37),
        ("context", "past only, R-Drop", 61, 41),
        ("context", "past only, averaged", 61, 41),
        ("context", "past and future, averaged", 62, 42),
    ],
)
def test_meld_reaches_the_scores_of_the_course(table, row, weighted, macro):
    assert {run["seed"] for run in results.runs(table, row)} >= {0, 1, 2, 3, 4}
    assert measured(table, row) >= weighted
    assert measured(table, row, "macro_f1") >= macro


def test_lora_matches_full_fine_tuning_with_a_twentieth_of_the_weights():
    assert measured("meld", "LoRA") >= measured("meld", "utterance only") - 1
    full, lora = (results.runs("meld", row)[0]["trainable_without_head"] for row in ("utterance only", "LoRA"))
    assert lora <= 0.05 * full


@pytest.mark.parametrize("row", [row for row in results.read("gpu") if "checkpointing" not in row["row"]])
def test_estimated_memory_agrees_with_a_gpu(row):
    config, shape, how = BENCHMARK["WAYS"][row["row"]]
    assert row["batch"] == list(BENCHMARK["SHAPES"][shape])
    with torch.device("meta"):
        model = encoders.MeanPoolingClassifier(config())
        model = adapters.lora(model, r=16, alpha=32, target_modules="all") if "lora" in how else model
    copies = 2 if "objective" in how else 1  # R-Drop passes each batch through the model twice
    estimate = environment.training_memory(model, copies * row["batch"][0] * row["batch"][1])
    assert estimate == pytest.approx(row["gpu_gib"], rel=0.13)


def test_one_doubled_pass_and_two_passes_have_the_same_loss_in_lesson_5():
    lesson = (lessons.ROOT / "notebooks" / "05_rdrop.ipynb").read_text(encoding="utf-8")
    [(masks, difference)] = re.findall(r'"(\d+) masks; doubled batch .* difference ([\d.e+-]+)\\n"', lesson)
    assert int(masks) == 20  # one for the embeddings, three in each of six layers, and one for the head
    assert float(difference) < 1e-5


def test_the_page_on_training_speed_shows_what_was_measured():
    page = CANDIDATES["PAGE"].read_text(encoding="utf-8")
    assert CANDIDATES["table"]() in page
    seconds = {row["row"]: f"{row['seconds']:.1f}" for row in results.read("steps")}
    for row in ("epoch of whole dialogues, eager attention", "epoch of whole dialogues"):
        assert seconds[row] in page


def test_the_page_of_recipes_shows_the_measured_scores():
    assert list(OWN_DATA["latest"]()) == list(OWN_DATA["COMMANDS"])  # all sets are measured
    assert OWN_DATA["table"]() in (lessons.ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")


def test_the_help_of_train_has_the_measured_numbers():
    macro = {
        row: f"{np.mean([100 * run['test']['macro_f1'] for run in results.runs('intents', row)]):.1f}"
        for row in ("plain", "class weights, square root", "logit adjustment in training")
    }
    for option, row in (
        (options.ClassWeights, "class weights, square root"),
        (options.LogitAdjustment, "logit adjustment in training"),
    ):
        [about] = option.__metadata__
        assert f"a macro F1 of {macro[row]} instead of {macro['plain']}" in about.help
    [about] = options.AdversarialOption.__metadata__
    for row in ("FGM", "SST-2, FGM"):
        gain, low, high = (100 * results.tests("robustness")[row][name] for name in ("difference", "low", "high"))
        assert f"{gain:+.1f}" in about.help
        assert f"({low:.1f} to {high:.1f})" in about.help
    [about] = options.AugmentOption.__metadata__
    added, plain = (
        np.mean([100 * run["perturbed"]["many typos"]["weighted_f1"] for run in results.runs("robustness", row)])
        for row in ("typos added", "plain")
    )
    assert f"a weighted F1 of {added:.1f} instead of {plain:.1f}" in about.help


def scores_of(table, runs):
    """The scores of a row, in percent: weighted F1, also of changed texts, and for rare classes macro F1."""
    if not runs:
        return
    yield [100 * run["test"]["weighted_f1"] for run in runs]
    if table == "intents" and len(runs) > 1:
        yield [100 * run["test"]["macro_f1"] for run in runs]
    for name in runs[0].get("perturbed", {}):
        yield [100 * run["perturbed"][name]["weighted_f1"] for run in runs]


def test_the_table_of_methods_has_the_measured_numbers():
    """Each score and difference of docs/which_method.md is one of a stored table."""
    page = (lessons.ROOT / "docs" / "which_method.md").read_text(encoding="utf-8")
    stored = set()
    for table in ("meld", "dialogues", "reviews", "context", "transfer", "intents", "base", "robustness"):
        for test in (test for test in results.tests(table).values() if "difference" in test):
            stored.add(f"{100 * test['difference']:+.1f} ({100 * test['low']:.1f} to {100 * test['high']:.1f})")
        for row in {run["row"] for run in results.read(table)}:
            runs = results.runs(table, row)  # none, if its configuration has changed since
            for scores in scores_of(table, runs):
                stored.add(
                    f"{np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f}" if len(scores) > 1 else f"{scores[0]:.1f}"
                )
    difference, score = r"[+-]\d+\.\d \(-?\d+\.\d to -?\d+\.\d\)", r"\d+\.\d ± \d\.\d"
    claimed = re.findall(rf"{difference}|{score}|(?:MELD|dialogues|reviews) \d+\.\d(?! ±)", page)
    assert len(claimed) > 20
    assert not [claim for claim in claimed if re.sub("^[a-zA-Z]+ ", "", claim) not in stored]
