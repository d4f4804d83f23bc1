"""monitoring, by simulation: how often it alarms when nothing changes, and how soon when something does."""

import numpy as np
import pytest
from scipy.stats import binom

from nbhelpers.monitoring import Monitor, drift, expected_counts

NAMES = ["neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"]
SHARES = np.array([0.47, 0.11, 0.02, 0.08, 0.18, 0.03, 0.11])
SHIFTED = np.array([0.36, 0.11, 0.02, 0.08, 0.18, 0.03, 0.22])  # twice as much anger


def stream(rng, num_items, shares=SHARES, beta_a=8):
    """Random labels and confidences. By default a confidence below 0.5 is rare (3.5 %); a smaller beta_a has more."""
    labels = [NAMES[i] for i in rng.choice(len(NAMES), num_items, p=shares)]
    return labels, rng.beta(beta_a, 3, num_items).tolist()


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


def test_false_alarms_of_independent_items_stay_within_the_rate():
    """200 streams of 10 windows: a rate of 0.2 allows 400 alarms."""
    rng, window, rate, alarms = np.random.default_rng(0), 100, 0.2, 0
    for _ in range(200):
        monitor = Monitor(*stream(rng, 1000), NAMES, window=window, false_alarm_rate=rate)
        alarms += len(monitor.update(*stream(rng, 10 * window)))
    assert 0.1 * rate < alarms / 2000 <= rate


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
    ],
)
def test_errors_are_readable(call, message):
    with pytest.raises(ValueError, match=message):
        call()
