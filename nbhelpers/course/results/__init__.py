"""Measured numbers: what is to be measured, the runs that measure it, and the tables that lessons and README show.

A results table is a file tables/NAME.yml with one configuration per row. Each run of a row adds one JSON line to
data/results/NAME.jsonl. The files of this folder: `tables` loads and checks the configurations, `store` appends and
reads the JSON lines, `measure` runs what is missing, `comparing` tests the gain of each row, `report` makes summaries.

    results.measure("meld", seeds=5, only=None, say=print)
    results.summary("meld", rows=["utterance only", "LoRA"])
"""

from .comparing import tests, write_tests
from .measure import measure, missing_runs
from .report import (
    COVERS,
    MEASURED,
    NOT_MEASURED,
    comparison,
    mean_sd,
    summary,
    votes,
)
from .store import append, measured, pack_predictions, predictions, read, runs, unpack_predictions
from .tables import SCORES, SEEDED, add_encoder, check_rows, load_table, table_rows, trainings

__all__ = [
    "COVERS",
    "MEASURED",
    "NOT_MEASURED",
    "SCORES",
    "SEEDED",
    "add_encoder",
    "append",
    "check_rows",
    "comparison",
    "load_table",
    "mean_sd",
    "measure",
    "measured",
    "missing_runs",
    "pack_predictions",
    "predictions",
    "read",
    "runs",
    "summary",
    "table_rows",
    "tests",
    "trainings",
    "unpack_predictions",
    "votes",
    "write_tests",
]
