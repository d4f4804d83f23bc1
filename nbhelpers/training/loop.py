"""The training loop written out, and predictions in the order of the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .batches import NO_LABEL, Batch, Objective, group_batches, num_labeled, set_epoch, to_device, updates_per_epoch
from .memory import keep_freed_memory
from .optimizer import check_settings, current_lr
from .precision import LossScaler, autocast
from .progress import BestWeights, History


def fit(
    model: nn.Module,
    dataloader: DataLoader[Any],
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    *,
    num_epochs: int,
    evaluate: Callable[[nn.Module], float] | None = None,
    precision: str = "fp32",
    gradient_accumulation_steps: int = 1,
    max_grad_norm: float = 1.0,
    patience: int | None = None,
    threshold: float = 0.0,
    log: Callable[[dict[str, float]], None] = lambda row: None,
) -> list[dict[str, float]]:
    """Train the model in place and leave it with the weights of the epoch that scored best on dev.

    It ends in evaluation mode. `evaluate` may change the mode; `fit` sets it back.

    Args:
        model: Any module that the objective accepts, on the device to train on.
        dataloader: Gives dicts of tensors, among them "labels". If its batch sampler has `set_epoch`, that is called.
        objective: `objective(model, batch) -> loss`, the mean over the labeled items of the batch.
        optimizer: From `make_optimizer`, or any other of torch.
        scheduler: From `make_scheduler`. It moves once per update.
        num_epochs: Passes over the data.
        evaluate: `evaluate(model) -> score` on dev, called after each epoch; higher is better. With None the model
            keeps the weights of the last epoch.
        precision: "fp32", "bf16", or "fp16" (with loss scaling).
        gradient_accumulation_steps: Batches per update. Each batch counts by its labeled items, so the gradient is
            that of one large batch, even if the batches differ in size.
        max_grad_norm: Clip the norm of the gradient to this value; 0 turns clipping off.
        patience: Stop after this many epochs in a row without a better score.
        threshold: For patience, a score must exceed the best one so far by more than this. The best weights are
            kept for any gain, as with transformers' EarlyStoppingCallback.
        log: Called with each row of the history as soon as there is one.

    Returns:
        The history: a dict per update (step, epoch, train_loss, lr of the encoder's last layer) and a dict per epoch
        (step, epoch, dev_score).

    Raises:
        FloatingPointError: The loss is infinite or NaN (in fp16: eleven times in a row).
        ValueError: The settings could not train the model.
    """
    check_settings(model, optimizer, num_epochs, gradient_accumulation_steps, patience, evaluate)
    device = next(model.parameters()).device
    if device.type == "cpu":
        keep_freed_memory()  # the next step needs as much
    scaler = LossScaler(device, precision)  # scales the loss in fp16 and changes nothing in fp32 and bf16
    best = BestWeights(patience, threshold)
    history = History(log, updates_per_epoch(dataloader, gradient_accumulation_steps))
    for epoch in range(1, num_epochs + 1):
        set_epoch(dataloader, epoch - 1)  # each epoch has its own order of the batches
        for micro_batches, num_items in group_batches(dataloader, gradient_accumulation_steps):
            model.train()  # turns dropout on; `evaluate` may have turned it off
            total_loss = torch.zeros((), device=device)
            for batch in micro_batches:
                with autocast(device, precision):
                    loss = objective(model, to_device(batch, device))
                loss = loss * num_labeled(batch) / num_items  # every labeled item of the update counts the same
                scaler.scale(loss).backward()  # adds this batch's gradients to those already there
                total_loss += loss.detach()
            train_loss, lr = total_loss.item(), current_lr(optimizer, scheduler)
            scaler.check_loss(train_loss, update=history.step + 1)  # stops if the loss is infinite or NaN
            scaler.unscale_(optimizer)  # the gradients' true size, which clipping needs
            nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm or math.inf)
            scaler.step(optimizer)  # optimizer.step(), skipped if a gradient overflowed in fp16
            scaler.update()
            scheduler.step()
            optimizer.zero_grad()
            history.add_update(train_loss, lr)
        if evaluate is not None:
            dev_score = evaluate(model)
            history.add_score(epoch, dev_score)
            best.update(model, dev_score)
            if best.patience_is_used_up:
                break
    best.restore(model)
    return history.rows


@torch.no_grad()
def predict(model: nn.Module, dataloader: DataLoader[Any], *, precision: str = "fp32") -> Tensor:
    """Compute the logits of every item, in the order of the data set even if the DataLoader shuffles.

    The model is left in evaluation mode.

    Args:
        model: A transformers model with a head: its output has `.logits`, [batch, classes] or [batch, tokens, classes].
        dataloader: A DataLoader over a data set with indices. Labels are not passed to the model.
        precision: "fp32", "bf16" or "fp16".

    Returns:
        Logits [items, classes] in fp32 on the CPU. An example is one item; where an example has a label per token or
        per turn, its items are the positions with a label (those that are not -100). Turns without labels are items if
        the batch has their "ends".

    Raises:
        ValueError: The precision is not "fp32", "bf16" or "fp16", nothing tells which positions are items, or the
            DataLoader does not give each example once.

    >>> from types import SimpleNamespace
    >>> class Identity(nn.Linear):  # its logits are its inputs
    ...     def forward(self, inputs):
    ...         return SimpleNamespace(logits=inputs)
    >>> rows = [{"inputs": torch.tensor([float(row), 0.0]), "labels": 0} for row in range(3)]
    >>> predict(Identity(2, 2), DataLoader(rows, batch_size=2, shuffle=True))[:, 0]
    tensor([0., 1., 2.])
    """
    device = next(model.parameters()).device
    model.eval()
    items: list[Tensor] = []  # the logits [items, classes] of each batch
    examples: list[Tensor] = []  # the example of each of them, by its index in the data set
    given: list[int] = []  # the indices of all examples
    # The batches are collated here because a DataLoader gives them without the indices of their examples.
    for indices in dataloader.batch_sampler or ():
        batch = dataloader.collate_fn([dataloader.dataset[index] for index in indices])
        inputs = to_device({name: tensor for name, tensor in batch.items() if name != "labels"}, device)
        with autocast(device, precision):
            logits = model(**inputs).logits.float().cpu()
        if logits.ndim == 2:  # one item per example
            logits = logits.unsqueeze(1)  # [batch, 1, classes]
            is_item = torch.ones(logits.shape[:2], dtype=torch.bool)
        else:
            is_item = find_items(batch)
        given += indices
        items.append(logits[is_item])
        examples.append(torch.tensor(indices).repeat_interleave(is_item.sum(1)))
    if sorted(given) != list(range(len(dataloader.dataset))):  # type: ignore[arg-type]
        raise ValueError("the DataLoader leaves examples out or gives some twice; pass one that gives each once")
    return torch.cat(items)[torch.cat(examples).argsort(stable=True)]


def find_items(batch: Batch) -> Tensor:
    """Mark the positions [batch, tokens or turns] of a batch whose logits are wanted; the others are padding."""
    if "labels" in batch:
        return batch["labels"] != NO_LABEL
    if "ends" in batch:
        return batch["ends"] > 0
    raise ValueError(f"the batch has only {', '.join(batch)}; add 'labels', so that padding can be told from items")
