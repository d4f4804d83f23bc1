"""How a classifier is trained, with defaults for what the user leaves open."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .errors import ClassifierError

METHODS = ("full", "lora", "frozen", "ia3")
# setting -> its values, where it is one of a few
CHOICES = {"method": METHODS, "adversarial": (None, "fgm", "freelb"), "augment": (None, "typos")}
LOSSES = ("r_drop", "logit_adjustment", "adversarial", "teacher")  # each is a loss of its own, so one at most
SMALL = ("embedded", "embedded-multilingual")  # narrow encoders, which need higher learning rates
MIN_UPDATES = 150  # with fewer updates of the weights, a small file is hardly learned, so it gets more epochs
MAX_EPOCHS = 20


@dataclass(frozen=True)
class Settings:
    """Settings of a training run. None means: the default for this encoder, method and kind of data.

    Args:
        encoder: what `encoders.load` knows.
        method: "full" trains all weights, "lora" and "ia3" an adapter, "frozen" only the head.
        context: what a turn of a dialogue is classified with: "whole_dialogues", the default for dialogues, or "none".
        past_only: for dialogues, hide from each turn what comes after it, as in a talk that is still going on.
        r_drop: the weight of R-Drop's second term; 0 turns it off.
        label_smoothing: from 0 to below 1.
        class_weights: rare classes count more: the weights are 1 / frequency to this power; 0 turns them off.
        logit_adjustment: rare classes count more: this times the logarithm of each class's frequency is added to its
            logit in the loss, as in `imbalance.logit_adjusted_loss`; 0 turns it off.
        adversarial: "fgm" or "freelb" also trains on word vectors that were moved so that the loss grows.
        augment: "typos" also trains on a copy of each text with typing errors.
        teacher: a folder that `train` wrote. The model also learns what the classifier there predicts, with the
            temperature and the share of the table `distillation.yml`.
        search: the number of trainings that look for better learning rates and another batch size on dev. They are
            used only if they beat the default with seeds that the search has not used.
        num_epochs: passes over the data. The best one by dev score is kept.
        lr, head_lr: learning rates of the encoder (or the adapter) and of the head.
        batch_size: texts, or turns of dialogues, for each update; fewer of long ones.
        max_length: longer texts are cut to this many tokens.
        gradient_accumulation_steps: batches for each update.
        patience: stop after this many epochs without a better dev score.
        seed: of everything that is random.
    """

    encoder: str = "embedded"
    method: str = "full"
    context: str | None = None
    past_only: bool = False
    r_drop: float = 0.0
    label_smoothing: float = 0.0
    class_weights: float = 0.0
    logit_adjustment: float = 0.0
    adversarial: str | None = None
    augment: str | None = None
    teacher: str | None = None
    search: int = 0
    num_epochs: int | None = None
    lr: float | None = None
    head_lr: float | None = None
    batch_size: int | None = None
    max_length: int | None = None
    gradient_accumulation_steps: int = 1
    patience: int | None = None
    seed: int = 0

    @property
    def max_tokens(self) -> int:
        """The largest number of tokens in a batch, padding included."""
        return 1024 if self.context == "whole_dialogues" else 4096

    @property
    def single_turn_epochs(self) -> int:
        """How many epochs a model of whole dialogues first reads single turns, to learn what words mean."""
        return 2 if self.context == "whole_dialogues" else 0


def complete(settings: Settings, num_rows: int) -> Settings:
    """Return the settings with a value for each that is None.

    The defaults are those with which the tables of the course were measured: `reviews.yml` for single texts and
    `context.yml` for dialogues with the embedded encoder, `base.yml` with embedded-base. For other encoders they are
    those that the RoBERTa paper recommends (arXiv 1907.11692, table 10).

    Args:
        settings: those of the user.
        num_rows: the number of training texts or turns.

    Raises:
        ClassifierError: a value is not possible.

    >>> complete(Settings(), num_rows=800).lr, complete(Settings(encoder="roberta-base"), num_rows=800).lr
    (0.0001, 2e-05)
    >>> complete(Settings(), num_rows=100).num_epochs, complete(Settings(num_epochs=1), num_rows=100).num_epochs
    (20, 1)
    """
    check(settings)
    is_dialogue = settings.context == "whole_dialogues"
    small, base = settings.encoder in SMALL, settings.encoder == "embedded-base"
    lr = (7e-5 if is_dialogue else 1e-4) if small else 3e-5 if base else 2e-5
    head_lr = 1e-3 if small or base else 1e-4
    if settings.method == "lora":
        lr, head_lr = (1e-3, 1e-2) if small else (3e-4, 1e-3)
    elif settings.method == "ia3":
        lr, head_lr = (1e-2, 1e-2) if small else (5e-3, 5e-3)
    elif settings.method == "frozen":
        head_lr = 1e-2 if small else 1e-3
    batch_size = settings.batch_size or (64 if is_dialogue or num_rows > 5000 else 16)
    num_updates = max(1, num_rows // (batch_size * settings.gradient_accumulation_steps))
    num_epochs = min(MAX_EPOCHS, max(4 if small else 3, -(-MIN_UPDATES // num_updates)))
    return replace(
        settings,
        lr=lr if settings.lr is None else settings.lr,
        head_lr=head_lr if settings.head_lr is None else settings.head_lr,
        batch_size=batch_size,
        num_epochs=settings.num_epochs or num_epochs,
        max_length=settings.max_length or (None if is_dialogue else 256),
    )


def check(settings: Settings) -> None:
    """Raise ClassifierError for the first setting with an impossible value."""
    for name, choices in CHOICES.items():
        if getattr(settings, name) not in choices:
            known = ", ".join(choice for choice in choices if choice)
            raise ClassifierError(f"{name} {getattr(settings, name)!r} is not one of {known}")
    if settings.past_only and settings.context != "whole_dialogues":
        raise ClassifierError("past_only is for whole dialogues, and these texts stand alone; leave it out")
    whole = ("num_epochs", "batch_size", "max_length", "gradient_accumulation_steps", "patience")
    for name in (*whole, "lr", "head_lr"):
        value = getattr(settings, name)
        if value is not None and value <= 0:
            raise ClassifierError(f"{name} is {value}, but must be above 0")
    tops = {"label_smoothing": 1.0, "r_drop": 100.0, "class_weights": 10.0, "logit_adjustment": 10.0, "search": 1000}
    for name, top in tops.items():
        if not 0 <= getattr(settings, name) < top:
            raise ClassifierError(f"{name} is {getattr(settings, name)}, but must be from 0 to below {top:g}")
    losses = [name for name in LOSSES if getattr(settings, name)]
    if len(losses) > 1:
        raise ClassifierError(f"{' and '.join(losses)} are losses of their own; choose one of them")
    for name in ("label_smoothing", "class_weights"):
        if getattr(settings, name) and losses and losses[0] in ("logit_adjustment", "teacher"):
            raise ClassifierError(f"{name} has no place in the loss of {losses[0]}; leave out one of them")
