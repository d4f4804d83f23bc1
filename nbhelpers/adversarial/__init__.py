"""Adversarial training: objectives that also train on slightly changed word embeddings.

A perturbation is a tensor [batch, tokens, size] that is added to the word embeddings of a batch for one forward pass.
Each objective looks for a perturbation that does harm, and trains the model to withstand it:

    fgm     one step along the gradient of the loss; trains on the clean and on the perturbed batch
    pgd     several such steps inside a ball; trains on the last perturbation only
    freelb  several such steps; trains on the perturbation of every step
    vat     the perturbation that changes the prediction most; trains on the change. With symmetric=True like SMART

Each wraps another objective, any function `objective(model, batch) -> loss` whose loss is a mean over labeled items.
`batch` is a dict with "input_ids" [batch, tokens], further inputs of the model, and "labels". How to use it: copy this
folder into your project (it needs only torch, and a transformers model), and set the options with `functools.partial`:

>>> from functools import partial
>>> import torch
>>> from transformers import BertConfig, BertForSequenceClassification
>>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
>>> model = BertForSequenceClassification(BertConfig(vocab_size=20, **sizes)).train()
>>> batch = {"input_ids": torch.tensor([[2, 7, 3]]), "attention_mask": torch.ones(1, 3), "labels": torch.tensor([1])}

>>> def cross_entropy(model, batch):
...     return model(**batch).loss

>>> objective = partial(fgm, objective=cross_entropy, epsilon=0.1)
>>> loss = objective(model, batch)  # in place of cross_entropy(model, batch)
>>> loss.backward()

What they have in common:

- The size of a perturbation is the norm over all numbers of a sentence (a row of the batch), without padding. Special
  tokens such as [CLS] are perturbed like the others, as in FreeLB's code. To choose a size, compare it with the norm of
  your model's word embeddings: where 25 tokens have a norm of 1 each, the sentence has 5, and 1 is 20 % of it. That
  may be far too much. The sentences of the course's embedded encoder have norms of 6 to 9. There, FGM with 0.1 scored
  about as plain training, with 0.3 it lost three points, and with 1 it hardly learned (`nbhelpers results robustness`).
  Try several sizes.
- The weights never change, and embeddings that are frozen (LoRA) do no harm: the perturbation has the gradient.
- All passes of one call have the same dropout masks, on the CPU and on CUDA. With others, the direction would belong to
  another network than the one it is used on (section 3.3 of FreeLB's paper). Table 4 there shows what it brings.
- In evaluation mode each objective is the one it wraps.
- They need gradients and hooks, so none works inside `torch.no_grad()` or on a compiled model. They were not tested
  with several devices.

The files: `worst_case` has fgm, pgd and freelb, `smoothness` has vat, and `perturbation` adds a perturbation to the
word embeddings, differentiates the loss by it and measures its size.
"""

from .perturbation import perturbed
from .smoothness import vat
from .worst_case import fgm, freelb, pgd

__all__ = ["fgm", "freelb", "perturbed", "pgd", "vat"]
