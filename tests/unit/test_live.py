"""The picture of a running training: drawn at most twice a second, and the last state stays."""

import pytest

from nbhelpers.course import live


@pytest.fixture
def shown(monkeypatch):
    drawings = []

    class Handle:
        def update(self, drawing):
            drawings.append(drawing)

    def display(drawing, display_id):
        drawings.append(drawing)
        return Handle()

    monkeypatch.setattr(live, "display", display)
    return drawings


def test_the_last_picture_has_all_scores_and_losses(shown):
    log = live.LiveTraining(num_epochs=2)
    for step in range(1, 101):
        log({"step": step, "epoch": step / 50, "train_loss": 2 - step / 100, "lr": 1e-4})
        if step % 50 == 0:
            log({"step": step, "epoch": step / 50, "dev_score": step / 200})
    assert len(shown) == 3  # at both scores and at the last update; a hundred updates took less than half a second
    assert "Loss of the batches from 1.99 to 1.00." in shown[-1].alt
    assert shown[-1].alt.endswith("in percent: 25.0, 50.0.")
    assert "This took" in shown[-1].svg()
    assert shown[-1].svg().count("dev ") >= 2
    assert "The loss of each batch, and the score on dev." in shown[-1].svg()


def test_while_it_runs_it_says_how_long_the_rest_takes(shown, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    log = live.LiveTraining(num_epochs=4)
    clock[0] = 10.0
    log({"step": 1, "epoch": 1.0, "train_loss": 1.0, "lr": 1e-4})
    assert "About 30 s left." in shown[-1].svg()


def test_without_a_dev_split_the_end_is_the_last_update(shown):
    log = live.LiveTraining(num_epochs=1)
    log({"step": 1, "epoch": 0.5, "train_loss": 1.0, "lr": 1e-4})
    log({"step": 2, "epoch": 1.0, "train_loss": 0.5, "lr": 1e-4})
    assert len(shown) == 1
    assert "This took" in shown[0].svg()
    assert "The loss of each batch. " in shown[-1].svg()
