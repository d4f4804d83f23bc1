"""The experiments behind the results tables: from a configuration and a seed to measured scores.

The files: `data` reads corpora and makes inputs, `augmenting` takes fewer training rows or makes more, `perturbing`
changes the test texts, `baselines` has the methods without an encoder, `models` loads an encoder, `fine_tuning` trains
it with the loss that `objective` makes, `distilling` asks teachers, `running` measures a run.

    outcome = experiments.run(results.table_rows("dialogues")["tf-idf"], seed=0)
    row = experiments.score_run(config, [outcome])
"""

from .baselines import majority, tf_idf
from .data import INPUT_SETTINGS, Split, first_dialogues, inputs, read, read_for
from .fine_tuning import Trained, fine_tuning, train
from .models import adapt
from .objective import make_objective
from .running import METHODS, Outcome, peak_bytes, run, score_run

__all__ = [
    "INPUT_SETTINGS",
    "METHODS",
    "Outcome",
    "Split",
    "Trained",
    "adapt",
    "fine_tuning",
    "first_dialogues",
    "inputs",
    "majority",
    "make_objective",
    "peak_bytes",
    "read",
    "read_for",
    "run",
    "score_run",
    "tf_idf",
    "train",
]
