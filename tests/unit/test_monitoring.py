"""monitoring.py by simulation: how often it alarms when nothing changes, how soon when something does."""

import numpy as np
import pytest
from scipy.stats import binom

from nbhelpers.monitoring import Monitor, drift, expected_counts

NAMES = ["neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"]
SHARES = np.array([0.47, 0.11, 0.02, 0.08, 0.18, 0.03, 0.11])
SHIFTED = np.array([0.36, 0.11, 0.02, 0.08, 0.18, 0.03, 0.22])  # twice as much anger


def stream(rng, items, shares=SHARES, sure=8):
    """Labels and confidences; by default a probability below 0.5 is rare (3.5 %)."""
    return [NAMES[i] for i in rng.choice(len(NAMES), items, p=shares)], rng.beta(sure, 3, items).tolist()


@pytest.mark.parametrize("num_reference", [200, 1000])
@pytest.mark.parametrize("level", [0.05, 0.0003])
def test_a_count_lies_outside_no_more_often_than_stated(num_reference, level):
    """Exactly, over all outcomes of both samples."""
    counts = np.arange(num_reference + 1)
    for items in (100, 500):
        lowest, highest = expected_counts(counts, num_reference, items, level)
        for share in (0.002, 0.01, 0.03, 0.1, 0.3, 0.5):
            outside = binom.cdf(lowest - 1, items, share) + binom.sf(highest, items, share)
            assert binom.pmf(counts, num_reference, share) @ outside <= level


def test_false_alarms_stay_within_the_rate():
    """200 streams of 10 windows; at a rate of 0.2 that is 400 alarms at most."""
    rng, window, rate, alarms = np.random.default_rng(0), 100, 0.2, 0
    for _ in range(200):
        monitor = Monitor(*stream(rng, 1000), NAMES, window=window, rate=rate)
        alarms += len(monitor.update(*stream(rng, 10 * window)))
    assert 0.1 * rate < alarms / 2000 <= rate


def test_a_shift_is_found_within_a_window_and_named():
    rng, late = np.random.default_rng(1), []
    for _ in range(50):
        monitor = Monitor(*stream(rng, 2000), NAMES, window=400)
        monitor.update(*stream(rng, 400))
        for items in range(100, 801, 100):
            alerts = monitor.update(*stream(rng, 100, SHIFTED))
            if any(alert.startswith(("neutral: ", "anger: ")) for alert in alerts):
                late.append(items)
                break
    assert len(late) == 50
    assert np.mean(late) <= 300
    assert max(late) <= 500


def test_unsure_answers_are_noticed_though_the_labels_stay():
    rng = np.random.default_rng(2)
    monitor = Monitor(*stream(rng, 2000), NAMES, window=400)
    assert monitor.update(*stream(rng, 400)) == []
    (alert,) = monitor.update(*stream(rng, 400, sure=4))
    assert alert.startswith("confidence below 0.5: ")
    assert monitor.summary()["p_value"] > 0.01
    assert monitor.summary()["unsure"] > 0.2


def test_a_share_that_stays_outside_is_told_once_and_again_when_it_left_anew():
    monitor = Monitor(["a", "b"] * 500, [0.9] * 1000, ["a", "b"], window=100)
    usual, odd = (["a", "b"] * 50, [0.9] * 100), (["a"] * 100, [0.9] * 100)
    heard = [len(monitor.update(*part)) for part in (usual, odd, odd, usual, odd)]
    assert heard == [0, 2, 0, 0, 2]


def test_one_by_one_or_together_is_the_same_and_it_waits_for_a_full_window():
    rng = np.random.default_rng(3)
    reference, labels = stream(rng, 1000), ["anger"] * 250
    alone, together = (Monitor(*reference, NAMES, window=100) for _ in range(2))
    told = [alone.update([label], [0.9]) for label in labels]
    assert [i + 1 for i, alerts in enumerate(told) if alerts] == [100]
    assert sum(told, []) == together.update(labels, [0.9] * 250)  # noqa: RUF017
    assert alone.summary() == together.summary()


def test_drift_has_its_limits_and_its_size_by_chance():
    assert drift([5, 5], [50, 50]) == pytest.approx({"divergence": 0, "p_value": 1})
    apart = drift([50, 0, 0], [0, 50, 0])
    assert apart["divergence"] == pytest.approx(1)
    assert apart["p_value"] < 1e-9
    rng = np.random.default_rng(4)
    found = [drift(rng.multinomial(1000, SHARES), rng.multinomial(500, SHARES)) for _ in range(1000)]
    expected = 6 * (1 / 1000 + 1 / 500) / (8 * np.log(2))
    assert np.mean([row["divergence"] for row in found]) == pytest.approx(expected, rel=0.1)
    assert 0.03 < np.mean([row["p_value"] < 0.05 for row in found]) < 0.07  # 3 standard deviations are 0.02
    shifted = [drift(rng.multinomial(1000, SHARES), rng.multinomial(500, SHIFTED))["p_value"] for _ in range(100)]
    assert np.mean(np.array(shifted) < 0.001) > 0.9


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: drift([1, 2], [1, -2]), "how often"),
        (lambda: drift([1], [2]), "two or more classes"),
        (lambda: drift([1, 2], [0, 0]), "nothing was counted"),
        (lambda: Monitor(["a"], [0.9], ["a", "b"], window=2), "window=2"),
        (lambda: Monitor(["a"], [0.9], ["a", "b"], rate=1), "rate=1"),
        (lambda: Monitor([], [], ["a", "b"]), "reference is empty"),
        (lambda: Monitor(["c"], [0.9], ["a", "b"]), "'c' is not one of a, b"),
        (lambda: Monitor(["a"], [], ["a", "b"]), "1 labels and 0 confidences"),
        (lambda: Monitor(["a"], [float("nan")], ["a", "b"]), "probabilities, not logits"),
        (lambda: Monitor(["a"], [7.0], ["a", "b"]), "probabilities, not logits"),
        (lambda: Monitor(["a"], [0.7], ["a", "b"]).summary(), "nothing was counted"),
    ],
)
def test_wrong_calls(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong()
