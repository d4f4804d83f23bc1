"""Rare classes: make them count in training, or move the decision after it.

How to use it: copy this folder into your project (it needs torch). Everything starts from the number of training rows
of each class. In training, choose one of these (`partial` is that of functools):

    counts = count_labels(train_labels, num_classes=8)
    objective = partial(focal_loss, gamma=0.0, class_weights=inverse_frequency_weights(counts, power=0.5))
    objective = partial(focal_loss, gamma=2.0)
    objective = partial(logit_adjusted_loss, counts=counts)
    sampler = BalancedSampler(train_labels, batch_size=32, power=0.5)  # DataLoader(examples, batch_sampler=sampler)

    loss = objective(model, batch)  # a mean over the labeled items; gamma=0.0 above is weighted cross-entropy

Or train with plain cross-entropy, and choose on dev how to decide:

    tau = choose_tau(dev_logits, dev_labels, counts)
    predictions = adjust_logits(test_logits, counts, tau).argmax(-1)

    offsets = tune_offsets(dev_logits, dev_labels)
    predictions = (test_logits + offsets).argmax(-1)

Use one correction, not two, because each corrects for the whole imbalance. With 9 rows of one class and 1 of another,
inverse weights or a balanced sampler give each class half of the loss. Both together give nine tenths of it to the
rare class. Only `tune_offsets` may follow any of them, because it measures on dev what is left to correct.

>>> import torch
>>> counts = count_labels([0] * 9 + [1], num_classes=2)
>>> inverse_frequency_weights(counts)
tensor([0.5556, 5.0000])
>>> adjust_logits(torch.tensor([[2.0, 0.0]]), counts).argmax(-1)  # class 1 is rare, so a little evidence is enough
tensor([1])

The files: `counts` has the class counts, the priors and the weights, `losses` the objectives, `sampling` the sampler,
`decisions` what is chosen on dev, and `scores` the F1 of each class and of the rarest ones.
"""

from .counts import count_labels, effective_number_weights, inverse_frequency_weights, log_prior
from .decisions import adjust_logits, applied_tau, choose_tau, tune_offsets
from .losses import focal_loss, logit_adjusted_loss
from .sampling import BalancedSampler
from .scores import f1_per_class, macro_f1, rarest_classes, rarest_f1

__all__ = [
    "BalancedSampler",
    "adjust_logits",
    "applied_tau",
    "choose_tau",
    "count_labels",
    "effective_number_weights",
    "f1_per_class",
    "focal_loss",
    "inverse_frequency_weights",
    "log_prior",
    "logit_adjusted_loss",
    "macro_f1",
    "rarest_classes",
    "rarest_f1",
    "tune_offsets",
]
