"""Distillation: train a small model, the student, to agree with a large one, the teacher.

How to use it: copy this folder into your project (it needs only torch, and models of transformers). Compute the
teacher's logits once and put them into the examples. Then train with the objective `distill`:

    student = truncate(teacher, [0, 2, 4, 6, 8, 10])         # every second layer of twelve; or any other small model
    check_same_labels(teacher, student)
    teacher_logits = predict(teacher, dataloader)            # [items, classes], in the order of the examples
    examples = add_teacher_logits(examples, teacher_logits)
    objective = partial(distill, temperature=2.0, alpha=0.5)
    loss = objective(student, batch)

Logits that are stored lose nothing. A teacher is in evaluation mode, without dropout, so it would give the same text
the same logits in every epoch. In training mode it would only add noise to what the student has to learn. The exception
is a text that changes in each epoch, for instance by augmentation: its logits must be computed from the changed text.

Hidden states and attention are too large to be stored. To learn from them as well, run the teacher in each step, and
keep what the layers of both models put out. `projection` is a linear layer from the student's width to the teacher's.
It is trained too, so make it a part of the student before you make the optimizer, and delete it before you save:

    student.projection = nn.Linear(384, 768)

    def objective(student, batch):
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        with record_outputs([encoder_layers(student)[-1]]) as hidden:
            loss = distill(student, batch)
        with torch.no_grad(), record_outputs([encoder_layers(teacher)[-1]]) as target:
            teacher(**inputs)
        return loss + hidden_state_loss(hidden[0], target[0], batch["attention_mask"], student.projection)

The files: `loss` has the loss on logits and what belongs to it, `intermediate` the losses on hidden states and on
attention, and `students` makes a student from the layers of a teacher.

A student that agrees with its teacher has only the cross-entropy of the labels left:

>>> import torch
>>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, -100])  # the second text has no label
>>> round(distillation_loss(logits, logits, labels, alpha=0.0).item(), 4)  # (0.1269 + 0) / 2
0.0635
>>> round(distillation_loss(logits, logits, labels, alpha=1.0).item(), 4)
0.0
"""

from .intermediate import (
    attention_projections,
    hidden_state_loss,
    log_relations,
    mean_over_tokens,
    record_outputs,
    relation_loss,
)
from .loss import NO_LABEL, add_teacher_logits, average_logits, distill, distillation_loss
from .students import LAYERS, check_same_labels, encoder_layers, truncate

__all__ = [
    "LAYERS",
    "NO_LABEL",
    "add_teacher_logits",
    "attention_projections",
    "average_logits",
    "check_same_labels",
    "distill",
    "distillation_loss",
    "encoder_layers",
    "hidden_state_loss",
    "log_relations",
    "mean_over_tokens",
    "record_outputs",
    "relation_loss",
    "truncate",
]
