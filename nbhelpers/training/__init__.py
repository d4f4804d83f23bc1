"""Training: a loop that can be read in one go (`fit`), and transformers' Trainer for long runs (`Trainer`).

Both minimize any function `objective(model, batch) -> loss` whose loss is the mean over the labeled items of the batch,
and both keep the weights with the best dev score. With the same batches in the same order, and the same optimizer and
seed, they give the same weights. (A DataLoader with shuffle=True has another order in each of them; a batch sampler
with `set_epoch` has the same.)

How to use it: copy this folder into your project (it needs torch and transformers; `Trainer` also needs accelerate),
and bring a transformers model with a head and a DataLoader whose batches are dicts of tensors, padded to one length,
for example with collate_fn=transformers.DataCollatorWithPadding(tokenizer):

>>> import torch, transformers
>>> from torch.utils.data import DataLoader
>>> sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
>>> model = transformers.BertForSequenceClassification(transformers.BertConfig(**sizes, vocab_size=100, num_labels=2))
>>> rows = [{"input_ids": torch.tensor([2, 5 + row, 3]), "labels": row % 2} for row in range(8)]
>>> dataloader = DataLoader(rows, batch_size=4)

>>> def cross_entropy(model, batch):
...     return model(**batch).loss

>>> optimizer = make_optimizer(model, lr=1e-4, head_lr=1e-3)
>>> scheduler = make_scheduler(optimizer, num_steps=3 * updates_per_epoch(dataloader))
>>> history = fit(model, dataloader, cross_entropy, optimizer, scheduler, num_epochs=3)
>>> [row["step"] for row in history]
[1, 2, 3, 4, 5, 6]
>>> predict(model, dataloader).shape  # logits [items, classes]
torch.Size([8, 2])

Pass `evaluate=` (a function that computes a dev score) to keep the best epoch, and `patience=` to stop early:

>>> def accuracy(model):
...     labels = torch.tensor([row["labels"] for row in rows])  # of the dev set, in your project
...     return (predict(model, dataloader).argmax(-1) == labels).float().mean().item()
>>> history = fit(model, dataloader, cross_entropy, optimizer, scheduler, num_epochs=3, evaluate=accuracy, patience=2)

With gradient accumulation, `fit` and `updates_per_epoch` need the same `gradient_accumulation_steps`. `fit` itself sets
no seed: call `transformers.set_seed(0)` before you create the model, because its new head is random.

The files: `loop` has `fit` and `predict`; `optimizer` makes the optimizer and the learning-rate schedule; `trainer` has
`Trainer`, and `arguments` has `make_training_arguments` and `last_checkpoint`; `batches` groups batches to updates and
counts their labels; `sharing` divides them among processes; `precision` scales the loss in fp16; `progress` keeps the
history and the best weights; `memory` saves time on a CPU, and `graphs` on a GPU; `temperature` calibrates a trained
model.
"""

from .arguments import last_checkpoint, make_training_arguments
from .batches import Batch, Objective, group_batches, num_labeled, set_epoch, to_device, updates_per_epoch
from .graphs import GraphedStep
from .loop import fit, predict
from .memory import keep_freed_memory
from .optimizer import SCHEDULES, freeze_encoder, is_encoder, make_optimizer, make_scheduler
from .precision import DTYPES, LossScaler, autocast
from .progress import BestWeights, History
from .sharing import SharedBatches, share
from .temperature import scale_logits
from .trainer import Trainer

__all__ = [
    "DTYPES",
    "SCHEDULES",
    "Batch",
    "BestWeights",
    "GraphedStep",
    "History",
    "LossScaler",
    "Objective",
    "SharedBatches",
    "Trainer",
    "autocast",
    "fit",
    "freeze_encoder",
    "group_batches",
    "is_encoder",
    "keep_freed_memory",
    "last_checkpoint",
    "make_optimizer",
    "make_scheduler",
    "make_training_arguments",
    "num_labeled",
    "predict",
    "scale_logits",
    "set_epoch",
    "share",
    "to_device",
    "updates_per_epoch",
]
