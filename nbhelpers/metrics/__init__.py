"""Metrics: scores of a classifier, how certain they are, whether one method beats another, and calibration.

How to use it: copy this folder into your project (it needs numpy, pandas, scipy and scikit-learn, not torch) and import
the functions that you want. They take class numbers 0, 1, 2, ...: `labels` are the gold classes, `predictions` those of
the model.

>>> labels, predictions = [0, 0, 1, 1, 2, 0], [0, 1, 1, 1, 2, 0]
>>> names = ["neutral", "joy", "anger"]
>>> {name: round(score, 3) for name, score in scores(labels, predictions, num_classes=3).items()}
{'accuracy': 0.833, 'weighted_f1': 0.833, 'macro_f1': 0.867}
>>> per_class(labels, predictions, names)["recall"].round(2).to_dict()
{'neutral': 0.67, 'joy': 1.0, 'anger': 1.0}

How much the score depends on the choice of test rows, and whether a second model is better on the same rows:

>>> low, high = bootstrap_ci(labels, predictions, "accuracy", num_classes=3)
>>> low < 0.833 < high
True
>>> better = labels
>>> result = paired_bootstrap(labels, predictions, better, "accuracy", num_classes=3)
>>> round(result["difference"], 3), result["p_value"] < 0.05  # one row of six shows nothing
(0.167, False)

If you train each method with several seeds, pass all runs of both to `compare_runs`. If turns of one dialogue are not
independent, pass `groups`. If you make several comparisons, correct their p-values with `holm`.

What all functions have in common: a column of [rows] may be a list, a numpy array or a pandas Series. Rows are paired
by position, and the index of a Series is ignored. Probabilities are softmax outputs of shape [rows, classes]. Scores
are fractions between 0 and 1. A wrong call raises ValueError with the name of the argument and the row.

The files: `classification` has the scores, `significance` the intervals and tests of trained models, `comparison` those
of methods with several seeds, `resampling` the random draws behind them, `calibration` compares probabilities with
accuracy and corrects them, and `checks` validates the arguments.
"""

from .calibration import expected_calibration_error, fit_temperature, reliability
from .checks import METRICS
from .classification import confusion, majority, mean_sd, per_class, scores
from .comparison import compare_runs, holm
from .significance import bootstrap_ci, mcnemar, paired_bootstrap

__all__ = [
    "METRICS",
    "bootstrap_ci",
    "compare_runs",
    "confusion",
    "expected_calibration_error",
    "fit_temperature",
    "holm",
    "majority",
    "mcnemar",
    "mean_sd",
    "paired_bootstrap",
    "per_class",
    "reliability",
    "scores",
]
