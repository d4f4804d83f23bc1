"""What lesson 14 measures for its tables: the contrastive loss, the rows that are kept, and their summary."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from nbhelpers.course import business, few_labels, paths
from nbhelpers.course.diagrams.business import alarms, file_to_service
from nbhelpers.course.errors import CourseError


def test_the_contrastive_loss_has_its_hand_computed_value():
    vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 2.0]])  # cosines 0.6 and 0 and 0.8
    loss = few_labels.contrastive_loss(vectors, torch.tensor([0, 0, 1]))
    assert loss.item() == pytest.approx(0.4**2 + (0.0 + 0.8**2) / 2)
    assert few_labels.contrastive_loss(torch.eye(3), torch.tensor([0, 1, 2])).item() == 0
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert few_labels.contrastive_loss(opposite, torch.tensor([0, 1])).item() == 0  # apart is enough
    assert few_labels.contrastive_loss(opposite, torch.tensor([1, 1])).item() == pytest.approx(4)


def test_the_contrastive_loss_pulls_classes_together():
    torch.manual_seed(0)
    vectors, labels = torch.randn(12, 4, requires_grad=True), torch.tensor([0, 1, 2] * 4)
    optimizer = torch.optim.Adam([vectors], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        few_labels.contrastive_loss(vectors, labels).backward()
        optimizer.step()
    cosine = torch.nn.functional.normalize(vectors, dim=-1)
    cosine = (cosine @ cosine.T).detach()
    same = labels[:, None] == labels
    assert cosine[same].min() > 0.95
    assert cosine[~same].max() < 0.1


def corpus(monkeypatch):
    """A corpus of vectors in three groups instead of a real one."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 60)
    vectors = np.concatenate([np.eye(3)[labels] * 4, np.zeros((180, 197))], axis=1)
    vectors += rng.standard_normal((180, 200))  # more dimensions than rows: a model can learn each row by heart
    monkeypatch.setattr(business, "frozen", lambda name, split: (vectors, labels, ["a", "b", "c"]))


def test_out_of_fold_probabilities_find_the_planted_errors(monkeypatch):
    corpus(monkeypatch)
    rows = dict(business.label_error_rows(0, ("made up",)))
    assert rows["made up, out of fold"]["found"] >= 80
    assert rows["made up, in sample"]["found"] < 20


def test_active_learning_gives_a_row_for_each_strategy(monkeypatch):
    corpus(monkeypatch)
    rows = dict(business.active_learning_rows(0, ("made up",)))
    assert set(rows) == {"made up, margin", "made up, entropy", "made up, random"}
    for scores in rows.values():
        assert set(scores) == {"64 labels", "104 labels", "164 labels"}
        assert all(50 < x <= 100 for x in scores.values())


def test_rows_are_kept_and_summed_up(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    monkeypatch.setitem(
        business.MEASUREMENTS, "few labels", lambda seed: iter([("8 a class", {"accuracy": 50.0 + seed})])
    )
    assert "not measured yet" in business.summary("few labels").to_string()
    business.record("few labels", [0, 2])
    business.record("few labels", [2])  # again: the last run of a seed counts
    table = business.summary("few labels")
    assert table.loc["8 a class"].to_dict() == {"seeds": 2, "accuracy": "51.0 ± 1.4"}
    assert "8 a class, seed 2: accuracy 52.0" in capsys.readouterr().out
    with pytest.raises(CourseError, match="there is no measurement 'few'; there are active learning, out of scope"):
        business.summary("few")


@pytest.mark.parametrize(
    "diagram", [file_to_service(), alarms(), alarms(0, 1, 1), alarms(1, 0, 0), alarms(0.6, 0.6, 0)]
)
def test_diagrams_are_valid_and_have_words(diagram):
    root = ElementTree.fromstring(diagram.svg())
    assert len(diagram.alt.split()) >= 15
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        size, x = float(text.get("font-size")), float(text.get("x"))
        width = 0.6 * size * len(text.text)
        left = {"start": x, "middle": x - width / 2}[text.get("text-anchor")]
        assert left >= 0
        assert left + width <= diagram.width + 4


def test_the_diagram_of_alarms_counts_right():
    words = alarms(0.02, 0.95, 0.5).alt
    assert "Of 980 inside, 931 are accepted and 49 rejected. Of 20 outside, 10 are accepted and 10 rejected." in words
    assert "Right: 17 %" in words
    assert math.isclose(10 / 59, 0.17, abs_tol=0.005)
    with pytest.raises(CourseError, match="share_outside is 2; choose a number from 0 to 1"):
        alarms(2)
