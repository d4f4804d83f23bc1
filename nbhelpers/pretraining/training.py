"""Train with the masked-language objective: a small loop in steps, and continued pretraining in two stages."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup

from .masking import MaskingCollator
from .modeling import held_out_loss, masked_lm_loss

Row = dict[str, float]


def train_masked_lm(
    model: nn.Module,
    tokenizer: Any,
    examples: Sequence[Mapping[str, Any]],
    *,
    num_steps: int,
    lr: float = 5e-4,
    batch_size: int = 32,
    held_out: Sequence[Mapping[str, Tensor]] = (),
    evaluate_every: int = 0,
    precision: str = "fp32",
    warmup_ratio: float = 0.1,
    weight_decay: float = 0.01,
    log: Callable[[Row], None] = lambda row: None,
    first_step: int = 0,
    seed: int = 0,
    **masking: Any,
) -> list[Row]:
    """Train a masked language model for a number of steps, with fresh masks in each batch. It ends in evaluation mode.

    AdamW (betas 0.9 and 0.98, as for RoBERTa), a linear warm-up and decay, and the gradient clipped to norm 1.

    Args:
        model: ...ForMaskedLM, on the device to train on. Only parameters with `requires_grad` are trained.
        tokenizer: For the masks.
        examples: With "input_ids", as from `pack_sentences`. They are shuffled in each pass.
        num_steps: Updates of the weights.
        lr: Peak learning rate: about 5e-4 for a small model from nothing, 5e-5 for a pretrained one.
        batch_size: Examples in a batch.
        held_out: From `fixed_batches`; their loss is computed before the first step, every so many steps, and at last.
        evaluate_every: Steps between two held-out losses; 0 computes the first and the last only.
        precision: "fp32", or "bf16" for autocast.
        warmup_ratio, weight_decay: Of the schedule and of AdamW; biases and norms have no decay.
        log: Called with each row of the history as soon as there is one.
        first_step: Updates that were made before. The steps of the history go on from there, and the held-out loss is
            not computed again before the first step.
        seed: Of the order and the masks. Dropout uses torch's own random numbers.
        masking: `probability`, `mask_share`, `random_share`, `whole_words`, as for `MaskingCollator`.

    Returns:
        The history: a dict per update (step, epoch, train_loss), and one per held-out loss (step, epoch, dev_loss).

    Raises:
        ValueError: There are no examples or no trainable parameters, or a number is wrong.
    """
    check_training(examples, num_steps, batch_size, precision)
    device = next(model.parameters()).device
    collator = MaskingCollator(tokenizer, seed=seed, **masking)
    optimizer = make_adamw(model, lr, weight_decay)
    scheduler = get_linear_schedule_with_warmup(optimizer, int(warmup_ratio * num_steps), num_steps)
    steps_per_epoch = len(examples) / batch_size
    history: list[Row] = []

    def add(step: int, name: str, loss: float) -> None:
        history.append({"step": first_step + step, "epoch": (first_step + step) / steps_per_epoch, name: loss})
        log(history[-1])

    if held_out and not first_step:
        add(0, "dev_loss", held_out_loss(model, held_out))
    for step, rows in enumerate(itertools.islice(endless_batches(examples, batch_size, seed), num_steps), start=1):
        model.train()
        batch = {name: tensor.to(device) for name, tensor in collator(rows).items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = masked_lm_loss(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        add(step, "train_loss", loss.item())
        if held_out and (step == num_steps or (evaluate_every and step % evaluate_every == 0)):
            add(step, "dev_loss", held_out_loss(model, held_out))
    model.eval()
    return history


def continue_pretraining(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Mapping[str, Any]],
    *,
    num_head_steps: int = 100,
    num_steps: int = 300,
    head_lr: float = 1e-3,
    lr: float = 5e-5,
    **options: Any,
) -> list[Row]:
    """Train a pretrained encoder further on unlabeled texts of a domain: first its new head, then everything.

    An encoder that was saved without its masked-language head gets a random one. Its loss begins above ln V, and its
    gradients would push the encoder about for nothing. So the head is trained first, with the encoder frozen. A model
    that has its own head, such as roberta-base, needs no first stage: `num_head_steps=0`.
    Source of the idea to continue on the domain or the task: Gururangan et al. 2020, arXiv 2004.10964.

    Use texts of train alone. The test texts are what the model will not have read later, even without labels.

    Args:
        model: ...ForMaskedLM, for instance from `AutoModelForMaskedLM.from_pretrained`. It is trained in place; its
            encoder is `model.base_model`.
        tokenizer, examples: As for `train_masked_lm`.
        num_head_steps, head_lr: Of the first stage. The output layer is tied to the token embeddings, which belong to
            the encoder, so only the layer before it and the biases are trained.
        num_steps, lr: Of the second stage.
        options: Further arguments of `train_masked_lm`, the same for both stages.

    Returns:
        The history of both stages; the steps go on from the first to the second.

    Raises:
        ValueError: As in `train_masked_lm`, or both stages have no step.
    """
    if num_head_steps <= 0 and num_steps <= 0:
        raise ValueError("num_head_steps and num_steps are both 0; there is nothing to train")
    history: list[Row] = []
    if num_head_steps > 0:
        trainable = [parameter for parameter in model.base_model.parameters() if parameter.requires_grad]
        for parameter in trainable:
            parameter.requires_grad_(False)
        history += train_masked_lm(model, tokenizer, examples, num_steps=num_head_steps, lr=head_lr, **options)
        for parameter in trainable:
            parameter.requires_grad_(True)
    if num_steps > 0:
        options["first_step"] = max(0, num_head_steps)
        history += train_masked_lm(model, tokenizer, examples, num_steps=num_steps, lr=lr, **options)
    return history


def endless_batches(examples: Sequence[Any], batch_size: int, seed: int) -> Iterator[list[Any]]:
    """Give batches without end; each pass over the examples has its own order."""
    for epoch in itertools.count():
        order = random.Random(f"{seed}-{epoch}").sample(range(len(examples)), len(examples))
        for start in range(0, len(order), batch_size):
            yield [examples[i] for i in order[start : start + batch_size]]


def make_adamw(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """Make AdamW over the trainable parameters; those with one dimension (biases, norms) have no weight decay."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise ValueError("no parameter of the model is trainable; set requires_grad on some of them")
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, betas=(0.9, 0.98))


def check_training(examples: Sequence[Any], num_steps: int, batch_size: int, precision: str) -> None:
    """Raise a ValueError for arguments with which training would run, but train nothing."""
    if not examples:
        raise ValueError("there are no examples; pack some texts first")
    if num_steps < 1 or batch_size < 1:
        raise ValueError(f"num_steps={num_steps} and batch_size={batch_size} must both be at least 1")
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision {precision!r} is not one of fp32, bf16; choose one of these")
