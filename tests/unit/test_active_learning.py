"""Active learning: unsure texts first, a loop that asks for labels, and the same start for every strategy."""

import doctest

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from nbhelpers import active_learning


def test_the_examples_in_the_docstrings_are_right():
    assert doctest.testmod(active_learning).failed == 0


def test_the_margin_looks_at_two_classes_and_the_entropy_at_all():
    close = [0.46, 0.44, 0.1, 0.0]
    spread = [0.4, 0.2, 0.2, 0.2]
    assert active_learning.margin([close, spread]).argmax() == 0
    assert active_learning.entropy([close, spread]).argmax() == 1
    assert active_learning.entropy([[0.25] * 4])[0] == pytest.approx(np.log(4))


def test_with_two_classes_both_choose_the_same():
    p = np.random.default_rng(0).random(50)
    probabilities = np.stack([p, 1 - p], axis=1)
    chosen = [active_learning.choose(probabilities, 10, strategy).tolist() for strategy in ("margin", "entropy")]
    assert chosen[0] == chosen[1]
    assert set(chosen[0]) == set(np.argsort(abs(p - 0.5))[:10].tolist())


def test_random_depends_on_the_seed_alone():
    flat, sharp = np.full((20, 2), 0.5), np.tile([0.9, 0.1], (20, 1))
    first, again, other = (
        active_learning.choose(p, 5, "random", seed=seed).tolist() for p, seed in ((flat, 1), (sharp, 1), (flat, 2))
    )
    assert first == again != other
    assert len(set(first)) == 5


@pytest.fixture
def pool():
    """Points in a plane, of two classes; most are far from the boundary."""
    rng = np.random.default_rng(4)
    x = rng.normal(0, 3, (400, 2))
    return x, (x[:, 0] + 0.5 * x[:, 1] > 0).astype(int)


def learn(pool, strategy, seed, **options):
    x, labels = pool
    asked = []

    def ask(rows):
        asked.append(rows)
        return labels[rows]

    def fit_predict(rows, known):
        return LogisticRegression(C=100).fit(x[rows], known).predict_proba(x)

    options = {"num_start": 10, "num_per_round": 5, "num_rounds": 4} | options
    return active_learning.label_loop(fit_predict, ask, len(x), strategy=strategy, seed=seed, **options), asked


def test_each_row_is_asked_for_once_and_gets_its_own_label(pool):
    result, asked = learn(pool, "margin", 0)
    assert len(result.rows) == len(set(result.rows)) == 30
    assert result.labels == pool[1][result.rows].tolist()
    assert [row for rows in asked for row in rows] == result.rows
    assert np.bincount(result.rounds).tolist() == [10, 5, 5, 5, 5]


def test_strategies_begin_with_the_same_rows_and_repeat(pool):
    first, second, random = (learn(pool, x, 3)[0] for x in ("margin", "margin", "random"))
    assert first == second
    assert first.rows[:10] == random.rows[:10]
    assert first.rows[10:] != random.rows[10:]


def test_margin_asks_near_the_boundary(pool):
    x = pool[0]
    distance = abs(x[:, 0] + 0.5 * x[:, 1])
    near = [distance[learn(pool, strategy, 5)[0].rows[15:]].mean() for strategy in ("margin", "random")]
    assert near[0] < 0.5 * near[1]


def test_the_loop_ends_with_the_pool(pool):
    small = pool[0][:23], pool[1][:23]
    for strategy in active_learning.STRATEGIES:
        result, _ = learn(small, strategy, 0, num_rounds=9)
        assert sorted(result.rows) == list(range(23))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: active_learning.choose([[0.5, 0.5]], 1, "mragin"), "strategy 'mragin' is not one of margin, entropy"),
        (lambda: active_learning.choose([[0.5, 0.5]], 0), "num=0: choose at least one row"),
        (lambda: active_learning.margin([[3.0, -1.0]]), "row 0 of probabilities is not a softmax; pass probabilities"),
        (lambda: active_learning.entropy([0.5, 0.5]), r"probabilities have shape \(2,\); pass \[rows, classes\]"),
        (
            lambda: active_learning.label_loop(lambda rows, labels: [], lambda rows: rows, 5),
            "num_start=20, num_per_round=20, num_rounds=5 for a pool of 5; start with 1 row or more",
        ),
        (
            lambda: active_learning.label_loop(lambda rows, labels: [], lambda rows: [0], 50),
            "ask gave 1 labels for 20 rows; give one for each",
        ),
        (
            lambda: active_learning.label_loop(lambda rows, labels: [[0.5, 0.5]], lambda rows: rows, 50),
            "fit_predict gave 1 rows for a pool of 50; give all of them",
        ),
    ],
)
def test_errors_of_active_learning_are_readable(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
