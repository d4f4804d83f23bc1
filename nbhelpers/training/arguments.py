"""The arguments of transformers' Trainer, and the checkpoint from which a run is resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from .optimizer import SCHEDULES, check_schedule
from .precision import check_precision


def make_training_arguments(
    output_dir: str | Path,
    *,
    num_epochs: float,
    precision: str = "fp32",
    gradient_accumulation_steps: int = 1,
    max_grad_norm: float = 1.0,
    schedule: str = "linear",
    warmup_ratio: float = 0.1,
    gradient_checkpointing: bool = False,
    metric_for_best_model: str | None = "weighted_f1",
    tensorboard: bool = False,
    seed: int = 0,
    **others: Any,
) -> transformers.TrainingArguments:
    """Make TrainingArguments with the parameter names of `fit` and defaults that suit most fine-tuning runs.

    The run is evaluated and saved after each epoch. It keeps two checkpoints: the best one, which is loaded at the
    end, and the last one, from which a run can be resumed.

    Args:
        output_dir: Where checkpoints (and, with `tensorboard`, event files) go.
        num_epochs: Passes over the data.
        precision: "fp32", "bf16" or "fp16".
        gradient_accumulation_steps: Batches per update.
        max_grad_norm: Clip the norm of the gradient to this value; 0 turns clipping off.
        schedule: "linear", "cosine" or "constant", after the warm-up.
        warmup_ratio: The share of all steps, from 0 to below 1, in which the learning rate rises.
        gradient_checkpointing: Recompute activations in the backward pass instead of storing them. This saves memory
            and takes more time.
        metric_for_best_model: The name of the score in what `compute_metrics` returns; higher is better. With None
            the run is neither evaluated nor saved, and ends with its last weights.
        tensorboard: Write event files for TensorBoard.
        seed: Set by the Trainer before training.
        **others: Any other argument of TrainingArguments.

    Raises:
        ValueError: The precision, the schedule or the warm-up ratio is not one of those above.

    >>> args = make_training_arguments("checkpoints", num_epochs=3, metric_for_best_model=None)
    >>> args.num_train_epochs, str(args.save_strategy.value)
    (3, 'no')
    """
    check_precision(precision)
    check_schedule(schedule, warmup_ratio)
    has_metric = metric_for_best_model is not None
    defaults = {
        "eval_strategy": "epoch" if has_metric else "no",
        "save_strategy": "epoch" if has_metric else "no",
        "save_total_limit": 2,
        "load_best_model_at_end": has_metric,
        # Early stopping continues its count after a resume instead of starting at 0.
        "restore_callback_states_from_checkpoint": True,
        "metric_for_best_model": metric_for_best_model,
        "greater_is_better": True if has_metric else None,
        "logging_steps": 10,
        "ddp_find_unused_parameters": False,  # every weight of an encoder and its head is used in each batch
        "disable_tqdm": True,
        "use_cpu": not (torch.cuda.is_available() or torch.backends.mps.is_available()),
    }
    return transformers.TrainingArguments(
        output_dir=str(output_dir),
        num_train_epochs=num_epochs,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        gradient_accumulation_steps=gradient_accumulation_steps,
        max_grad_norm=max_grad_norm,
        lr_scheduler_type=SCHEDULES[schedule],
        warmup_steps=warmup_ratio,  # transformers 5 reads a number below 1 as a share of all steps
        activation_checkpointing=gradient_checkpointing,
        report_to="tensorboard" if tensorboard else "none",
        seed=seed,
        **{**defaults, **others},
    )


def last_checkpoint(output_dir: str | Path) -> str | None:
    """Find the newest complete checkpoint, to resume from with `trainer.train(resume_from_checkpoint=...)`.

    A run that was killed while it saved leaves an incomplete checkpoint. `resume_from_checkpoint=True` would take
    that one and fail.

    Returns:
        The checkpoint's path, or None if there is none: the Trainer then starts from the beginning.

    >>> last_checkpoint("no_such_folder") is None
    True
    """
    # transformers writes trainer_state.json last, so a checkpoint that has it is complete.
    complete = [path.parent for path in Path(output_dir).glob("checkpoint-*/trainer_state.json")]
    return str(max(complete, key=lambda path: int(path.name.split("-")[1]))) if complete else None


def check_resumable(checkpoint: str | Path, updates_per_epoch: int) -> None:
    """Raise ValueError if a checkpoint was saved with another number of updates per epoch.

    transformers resumes by counting updates. With larger batches than before, it would take the run for finished.
    """
    state = json.loads(Path(checkpoint, "trainer_state.json").read_text(encoding="utf-8"))
    if not state["epoch"]:
        return
    saved = round(state["global_step"] / state["epoch"])
    if saved != updates_per_epoch:
        raise ValueError(
            f"{checkpoint} was saved with {saved} updates per epoch, but this run has {updates_per_epoch}; resume with "
            "the same data, batch size and gradient accumulation, or start in another folder"
        )
