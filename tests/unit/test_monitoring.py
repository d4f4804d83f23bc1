"""monitoring, by simulation: how often it alarms when nothing changes, and how soon when something does."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from nbhelpers.monitoring import Monitor, design_effects, drift, expected_counts

DIALOGUES = Path(__file__).resolve().parents[2] / "data" / "dialogues"
NAMES = ["neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"]
SHARES = np.array([0.47, 0.11, 0.02, 0.08, 0.18, 0.03, 0.11])
SHIFTED = np.array([0.36, 0.11, 0.02, 0.08, 0.18, 0.03, 0.22])  # twice as much anger


def stream(rng, num_items, shares=SHARES, beta_a=8):
    """Random labels and confidences. By default a confidence below 0.5 is rare (3.5 %); a smaller beta_a has more."""
    labels = [NAMES[i] for i in rng.choice(len(NAMES), num_items, p=shares)]
    return labels, rng.beta(beta_a, 3, num_items).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("num_reference", [200, 1000])
@pytest.mark.parametrize("level", [0.05, 0.0003])
def test_a_count_lies_outside_its_interval_no_more_often_than_stated(num_reference, level):
    """Computed exactly, over all outcomes of both samples."""
    counts = np.arange(num_reference + 1)
    for items in (100, 500):
        lowest, highest = expected_counts(counts, num_reference, items, level)
        for share in (0.002, 0.01, 0.03, 0.1, 0.3, 0.5):
            outside = binom.cdf(lowest - 1, items, share) + binom.sf(highest, items, share)
            assert binom.pmf(counts, num_reference, share) @ outside <= level


@pytest.mark.slow
def test_false_alarms_of_independent_items_stay_within_the_rate():
    """200 streams of 10 windows: a rate of 0.2 allows 400 alarms."""
    rng, window, rate, alarms = np.random.default_rng(0), 100, 0.2, 0
    for _ in range(200):
        monitor = Monitor(*stream(rng, 1000), NAMES, window=window, false_alarm_rate=rate)
        alarms += len(monitor.update(*stream(rng, 10 * window)))
    assert 0.1 * rate < alarms / 2000 <= rate


@pytest.fixture(scope="module")
def dialogues():
    """The emotions of all dialogues of the course, one list per dialogue."""
    frame = pd.concat([pd.read_csv(DIALOGUES / f"{split}.csv") for split in ("train", "dev", "test")])
    return [list(emotions) for _, emotions in frame.groupby("Dialogue_ID")["Emotion"]]


def predicted(rng, dialogues):
    """What a model might predict for the turns of these dialogues, its confidences, and the dialogue of each turn.

    The stand-in is right in 7 of 10 turns. Else it predicts any class, with less confidence.
    """
    gold = np.concatenate(dialogues)
    right = rng.random(len(gold)) < 0.7
    labels = np.where(right, gold, rng.choice(NAMES, len(gold), p=SHARES))
    confidences = np.where(right, rng.beta(8, 2, len(gold)), rng.beta(5, 3, len(gold)))
    return labels.tolist(), confidences.tolist(), np.repeat(np.arange(len(dialogues)), [len(x) for x in dialogues])


def false_alarms_per_window(rng, dialogues, use_groups, shuffle_turns=False, num_streams=25, window=116):
    """The reference has 88 dialogues, as dev; the others come one after the other. Nothing changes between them."""
    alarms = windows = 0
    for _ in range(num_streams):
        order = [dialogues[i] for i in rng.permutation(len(dialogues))]
        (labels, confidences, groups), new = predicted(rng, order[:88]), predicted(rng, order[88:])
        monitor = Monitor(labels, confidences, NAMES, groups=groups if use_groups else None, window=window)
        turns = rng.permutation(len(new[0])) if shuffle_turns else np.arange(len(new[0]))
        alarms += len(monitor.update(*([column[i] for i in turns] for column in new[:2])))
        windows += len(turns) / window
    return alarms / windows


@pytest.mark.slow
def test_false_alarms_on_the_dialogues_of_the_course_stay_within_the_rate(dialogues):
    """The stated rate is 0.01. About 2,000 windows; turns count as independent only where they are shuffled."""
    rng = np.random.default_rng(5)
    assert false_alarms_per_window(rng, dialogues, use_groups=False, shuffle_turns=True) <= 0.01
    assert false_alarms_per_window(rng, dialogues, use_groups=False) > 0.03  # why `groups` exists
    assert false_alarms_per_window(rng, dialogues, use_groups=True) <= 0.01


def test_a_shift_is_found_although_the_turns_of_a_dialogue_are_alike(dialogues):
    rng, window, delays = np.random.default_rng(6), 400, []
    for _ in range(20):
        order = [dialogues[i] for i in rng.permutation(len(dialogues))]
        labels, confidences, groups = predicted(rng, order[:300])
        monitor = Monitor(labels, confidences, NAMES, groups=groups, window=window)
        labels, confidences, _ = predicted(rng, order[300:])
        monitor.update(labels[:window], confidences[:window])
        changed = ["anger" if label == "neutral" and rng.random() < 0.5 else label for label in labels[window:]]
        for start in range(0, 1600, 100):
            if monitor.update(changed[start : start + 100], confidences[window + start : window + start + 100]):
                delays.append(start + 100)
                break
    assert len(delays) == 20
    assert np.mean(delays) <= 400


def test_design_effects_are_those_of_a_simulation():
    rng = np.random.default_rng(7)
    groups = np.repeat(np.arange(500), 6)
    independent = (rng.random((3000, 2)) < [0.3, 0.05]).astype(int)
    assert design_effects(independent, groups) == pytest.approx([1, 1], abs=0.15)
    # each group has its own share: the effect is 1 + (6 - 1) * the correlation within a group, here 1 / (2 + 4 + 1)
    clustered = (rng.random((3000, 1)) < np.repeat(rng.beta(2, 4, (500, 1)), 6, axis=0)).astype(int)
    assert design_effects(clustered, groups) == pytest.approx([1 + 5 / 7], rel=0.15)
    # a column that is always 0 has no effect of its own and gets the mean
    with_empty = np.hstack([clustered, np.zeros_like(clustered)])
    assert design_effects(with_empty, groups)[1] == pytest.approx(design_effects(clustered, groups)[0])
    # groups count by value, wherever their items are
    order = rng.permutation(3000)
    assert design_effects(clustered[order], groups[order]) == pytest.approx(design_effects(clustered, groups))


def test_the_p_value_of_a_summary_is_about_uniform_for_dialogues(dialogues):
    rng, p_values = np.random.default_rng(8), []
    for _ in range(100):
        order = [dialogues[i] for i in rng.permutation(len(dialogues))[:250]]
        labels, confidences, groups = predicted(rng, order[:180])
        monitor = Monitor(labels, confidences, NAMES, groups=groups, window=500)
        new_labels, new_confidences, _ = predicted(rng, order[180:])
        monitor.update(new_labels[:500], new_confidences[:500])
        p_values.append(monitor.summary()["p_value"])
    assert np.mean(np.array(p_values) < 0.05) <= 0.12


def test_a_shift_is_found_within_a_window_and_the_class_is_named():
    rng, delays = np.random.default_rng(1), []
    for _ in range(50):
        monitor = Monitor(*stream(rng, 2000), NAMES, window=400)
        monitor.update(*stream(rng, 400))
        for items in range(100, 801, 100):
            alerts = monitor.update(*stream(rng, 100, SHIFTED))
            if any(alert.startswith(("neutral: ", "anger: ")) for alert in alerts):
                delays.append(items)
                break
    assert len(delays) == 50
    assert np.mean(delays) <= 300
    assert max(delays) <= 500


def test_lower_confidence_is_noticed_when_the_labels_stay_the_same():
    rng = np.random.default_rng(2)
    monitor = Monitor(*stream(rng, 2000), NAMES, window=400)
    assert monitor.update(*stream(rng, 400)) == []
    (alert,) = monitor.update(*stream(rng, 400, beta_a=4))
    assert alert.startswith("confidence below 0.5: ")
    assert monitor.summary()["p_value"] > 0.01
    assert monitor.summary()["unsure"] > 0.2


def test_a_share_is_reported_once_until_it_leaves_its_interval_again():
    monitor = Monitor(["a", "b"] * 500, [0.9] * 1000, ["a", "b"], window=100)
    usual, odd = (["a", "b"] * 50, [0.9] * 100), (["a"] * 100, [0.9] * 100)
    num_alerts = [len(monitor.update(*part)) for part in (usual, odd, odd, usual, odd)]
    assert num_alerts == [0, 2, 0, 0, 2]


def test_alerts_wait_for_a_full_window_and_do_not_depend_on_the_size_of_updates():
    rng = np.random.default_rng(3)
    reference, labels = stream(rng, 1000), ["anger"] * 250
    one_by_one, together = (Monitor(*reference, NAMES, window=100) for _ in range(2))
    alerts = [one_by_one.update([label], [0.9]) for label in labels]
    assert [i + 1 for i, of_this_item in enumerate(alerts) if of_this_item] == [100]
    assert sum(alerts, []) == together.update(labels, [0.9] * 250)  # noqa: RUF017
    assert one_by_one.summary() == together.summary()


def test_drift_reaches_its_limits_and_has_the_size_that_chance_gives():
    assert drift([5, 5], [50, 50]) == pytest.approx({"divergence": 0, "p_value": 1})
    apart = drift([50, 0, 0], [0, 50, 0])
    assert apart["divergence"] == pytest.approx(1)
    assert apart["p_value"] < 1e-9
    rng = np.random.default_rng(4)
    by_chance = [drift(rng.multinomial(1000, SHARES), rng.multinomial(500, SHARES)) for _ in range(1000)]
    expected = 6 * (1 / 1000 + 1 / 500) / (8 * np.log(2))
    assert np.mean([row["divergence"] for row in by_chance]) == pytest.approx(expected, rel=0.1)
    assert 0.03 < np.mean([row["p_value"] < 0.05 for row in by_chance]) < 0.07  # 3 standard deviations are 0.02
    shifted = [drift(rng.multinomial(1000, SHARES), rng.multinomial(500, SHIFTED))["p_value"] for _ in range(100)]
    assert np.mean(np.array(shifted) < 0.001) > 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drift([1, 2], [1, -2]), "how often"),
        (lambda: drift([1], [2]), "two or more classes"),
        (lambda: drift([1, 2], [0, 0]), "contains only zeros"),
        (lambda: Monitor(["a"], [0.9], ["a", "b"], window=2), "window=2"),
        (lambda: Monitor(["a"], [0.9], ["a", "b"], false_alarm_rate=1), "false_alarm_rate=1"),
        (lambda: Monitor([], [], ["a", "b"]), "reference is empty"),
        (lambda: Monitor(["c"], [0.9], ["a", "b"]), "'c' is not one of a, b"),
        (lambda: Monitor(["a"], [], ["a", "b"]), "1 labels and 0 confidences"),
        (lambda: Monitor(["a"], [float("nan")], ["a", "b"]), "probabilities, not logits"),
        (lambda: Monitor(["a"], [7.0], ["a", "b"]), "probabilities, not logits"),
        (lambda: Monitor(["a"], [0.7], ["a", "b"]).summary(), "contains only zeros"),
        (lambda: Monitor(["a", "b"], [0.7, 0.7], ["a", "b"], groups=[1]), "groups has shape \\(1,\\); .* 2 items"),
        (lambda: Monitor(["a", "b"], [0.7, 0.7], ["a", "b"], groups=[1, None]), "groups, item 1: the group is missing"),
        (lambda: Monitor(["a", "b"], [0.7, 0.7], ["a", "b"], groups=[1, 1]), "one group; pass several dialogues"),
    ],
)
def test_errors_are_readable(call, message):
    with pytest.raises(ValueError, match=message):
        call()
