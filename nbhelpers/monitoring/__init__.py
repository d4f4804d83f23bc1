"""Monitoring: notice that a classifier in production behaves differently, where nobody knows the right labels.

It compares the shares of the predicted labels, and the share of predictions with a low confidence, with those on
reference data, and reports a change that is larger than chance explains.

How to use it: copy this folder into your project (it needs numpy and scipy). Create a `Monitor` from the predictions of
the same model on dev data, and pass it each new prediction. It returns a sentence for each alert:

>>> names = ["negative", "positive"]
>>> dev_predictions, dev_confidences = ["negative", "positive"] * 200, [0.9] * 400
>>> monitor = Monitor(dev_predictions, dev_confidences, names, window=100)
>>> for label, confidence in [("positive", 0.8)] * 100:  # in production: what the model just predicted
...     for sentence in monitor.update([label], [confidence]):
...         print(sentence)
negative: 0 % of the last 100 predictions, outside the expected 32 to 68 %
positive: 100 % of the last 100 predictions, outside the expected 32 to 68 %

As the reference, use predictions of the model, not gold labels: a model predicts some classes more often than they
occur. Use data that it was not trained on: on training data its confidence is too high. If the items come in dialogues
or other groups, pass the group of each reference item as `groups`, or there will be many false alarms. And label a
random sample now and then, because a model can become worse while its predictions look the same.

The files: `monitor` watches a stream, and `intervals` has the statistics behind it.
"""

from .intervals import design_effects, drift, expected_counts
from .monitor import CHECKS, Monitor

__all__ = ["CHECKS", "Monitor", "design_effects", "drift", "expected_counts"]
