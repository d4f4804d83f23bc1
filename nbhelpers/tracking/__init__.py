"""Tracking: record what a training run used and how it went, in a file and in MLflow, TensorBoard or Weights & Biases.

How to use it: copy this folder into your project (it needs filelock, torch and transformers; for MLflow also
mlflow-skinny, sqlalchemy and alembic, for the others tensorboard or wandb). One object is the `log` function of a
training loop and a callback of transformers' Trainer:

    with Tracker("baseline", "mlflow", config={"lr": 1e-4, "seed": 0}, data_files=["train.csv", "dev.csv"]) as tracker:
        training.fit(..., log=tracker)  # or transformers.Trainer(..., callbacks=[tracker]).train()
        tracker({"test_weighted_f1": 0.61})

Each run is a file of JSON lines, whichever tracker it has: the first line says what was trained, the others are rows. A
tracking server that is down does not stop the training, and nothing is lost: `send` passes the file on later.

>>> import json, tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     with Tracker("baseline", folder=folder, config={"lr": 1e-4}) as tracker:
...         tracker({"step": 1, "epoch": 0.5, "train_loss": 0.7, "lr": 1e-4})
...     facts, *rows = map(json.loads, tracker.file.read_text().splitlines())
>>> facts["config"], list(facts)
({'lr': 0.0001}, ['time', 'config', 'commit', 'environment', 'data'])
>>> rows
[{'step': 1, 'epoch': 0.5, 'train_loss': 0.7, 'lr': 0.0001}, {'succeeded': True}]

The files: `tracker` has `Tracker` and `send`; `facts` describes a run: its commit, versions and data; `outputs` writes
to each tracker.
"""

from .facts import commit, describe, digest
from .outputs import OPENERS
from .tracker import Tracker, send

__all__ = ["OPENERS", "Tracker", "commit", "describe", "digest", "send"]
