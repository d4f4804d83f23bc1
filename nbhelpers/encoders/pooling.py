"""A classifier that averages token vectors: over a whole text, or over each turn of a dialogue."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from .turn_masks import causal_turn_mask, mask_for_encoder, turn_of_each_token


class MeanPoolingClassifier(PreTrainedModel):
    """An encoder, the mean of its token vectors, dropout, and one linear layer.

    It classifies texts. With `starts` and `ends`, as the unit dialogue makes them, it classifies the turns of a
    dialogue instead: it takes the mean over each turn's own tokens, which have attended to the other turns.

    Set `config.causal_turns = True` when a turn must not see later ones, as in a talk that is still going on. All turns
    of a dialogue are still read in one pass. DeBERTa cannot do this and raises a ValueError.

    transformers' own classifiers read the first token (`<s>` or [CLS]) through a dense layer instead.
    `save_pretrained` writes a folder as usual; `load_trained` loads it.

    Args:
        config: an encoder's configuration with `num_labels`.
        encoder: the encoder; None makes one with random weights from the configuration.
    """

    config_class = PreTrainedConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True

    def __init__(self, config: Any, encoder: Any = None) -> None:
        encoder = AutoModel.from_config(config) if encoder is None else encoder
        # PreTrainedModel would choose SDPA by itself, which not every encoder has
        config._attn_implementation = encoder.config._attn_implementation
        set_causal_turns(config)
        super().__init__(config)
        self.encoder = encoder
        if hasattr(self.encoder, "pooler"):
            # BERT's and RoBERTa's dense layer on the first token; nothing here uses it
            self.encoder.pooler = None
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
        """Classify texts, or the turns of dialogues.

        Args:
            input_ids, attention_mask: [batch, tokens].
            labels: [batch], or [batch, turns] with -100 where there is no turn. With them, the output has a `loss`.
                Where `config.problem_type` is "multi_label_classification": 0 and 1, [batch, classes].
            starts, ends: [batch, turns], the first token of each turn and the one after its last; ends 0 means no turn.
            inputs: further inputs of the encoder.

        Returns:
            An output whose `logits` are [batch, classes], or [batch, turns, classes] for dialogues.
        """
        visible: Any = attention_mask
        if starts is not None and ends is not None and self.config.causal_turns:
            turn = turn_of_each_token(starts, ends, input_ids.shape[1])  # [batch, tokens]
            may_attend = causal_turn_mask(turn, attention_mask)  # [batch, tokens, tokens]
            visible = mask_for_encoder(may_attend, self.config, self.dtype)
        hidden = self.encoder(input_ids=input_ids, attention_mask=visible, **inputs).last_hidden_state
        # hidden: [batch, tokens, hidden]
        if starts is None or ends is None:
            pooled = mean_over_text(hidden, attention_mask)  # [batch, hidden]
        else:
            pooled = mean_over_turns(hidden, starts, ends)  # [batch, turns, hidden]
        logits = self.classifier(self.dropout(pooled))  # [batch, classes] or [batch, turns, classes]
        loss = None
        if labels is not None and self.config.problem_type == "multi_label_classification":
            loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.float())
        elif labels is not None:
            # a batch with turns is one long list of items here; cross_entropy leaves out those labeled -100
            loss = nn.functional.cross_entropy(logits.float().flatten(0, -2), labels.flatten())
        return SequenceClassifierOutput(loss=loss, logits=logits)


def mean_over_text(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean of the token vectors of each text, without padding.

    Args:
        hidden: [batch, tokens, hidden].
        attention_mask: [batch, tokens], 1 for tokens and 0 for padding.

    Returns:
        [batch, hidden].

    >>> mean_over_text(torch.tensor([[[2.0], [4.0], [99.0]]]), torch.tensor([[1, 1, 0]]))
    tensor([[3.]])
    """
    mask = attention_mask.unsqueeze(-1).to(hidden.dtype)  # [batch, tokens, 1]
    return (hidden * mask).sum(1) / mask.sum(1)


def mean_over_turns(hidden: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """The mean of the token vectors of each turn.

    Args:
        hidden: [batch, tokens, hidden].
        starts, ends: [batch, turns], the first token of each turn and the one after its last; ends 0 means no turn.

    Returns:
        [batch, turns, hidden]; zeros where there is no turn.

    >>> hidden = torch.tensor([[[9.0], [2.0], [4.0], [9.0], [6.0]]])
    >>> mean_over_turns(hidden, starts=torch.tensor([[1, 4]]), ends=torch.tensor([[3, 5]])).flatten()
    tensor([3., 6.])
    """
    position = torch.arange(hidden.shape[1], device=hidden.device)  # [tokens]
    in_turn = (position >= starts.unsqueeze(-1)) & (position < ends.unsqueeze(-1))  # [batch, turns, tokens]
    # one matrix product adds up the tokens of all turns; a turn that does not exist has no token, so divide by 1 there
    return in_turn.to(hidden.dtype) @ hidden / in_turn.sum(-1, keepdim=True).clamp(min=1)


def set_causal_turns(config: Any) -> None:
    """Give the configuration a `causal_turns`, from `live` in a folder of an earlier version, and False by default."""
    earlier_name = vars(config).pop("live", False)
    config.causal_turns = getattr(config, "causal_turns", earlier_name)
