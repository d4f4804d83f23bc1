"""Pruning: remove weights, hidden units or attention heads from a trained encoder, and see how much it can lose.

How to use it: copy this folder into your project (it needs torch and a transformers model). These functions return a
copy and leave the model as it is:

    sparse = prune_weights(model, 0.3)      # 30 % of the weights are 0; neither smaller nor faster
    smaller = prune_units(model, 0.1)       # 10 % of the hidden units are gone; smaller and faster
    smaller.save_pretrained("smaller")      # loads like any other model
    smaller = prune_heads(model, 0.25)      # 25 % of the attention heads are gone; smaller and faster
    smaller.save_pretrained("fewer_heads")  # only `load_pruned` can load it

Without data, what has the smallest weights is removed. On data, importance can be measured instead:

    importance = unit_importance(model, dataloader, objective)    # objective(model, batch) -> loss
    smaller = prune_units(model, 0.1, importance=importance)

Train the model again for an epoch afterwards, so that what remains makes up for what was removed. Weights that are 0
become other numbers in that training unless `keep_zeros` holds them. Then compare the score on dev with that of the
original.

The files: `weights` sets single weights to 0, by size or by their movement during training, `units` and `heads` remove
parts of the layers, `importance` measures which ones matter, and `checks` has what they share.

>>> import transformers
>>> sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
>>> model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes))
>>> sparse, smaller = prune_weights(model, 0.3), prune_units(model, 0.1)
>>> query = "bert.encoder.layer.0.attention.self.query"
>>> bool((sparse.get_submodule(query).weight == 0).any()), bool((model.get_submodule(query).weight == 0).any())
(True, False)
>>> smaller.config.intermediate_size, model.config.intermediate_size
(36, 40)
"""

from .checks import PruningError, check_amount
from .heads import ATTENTION_LAYERS, attention_blocks, load_pruned, prune_heads
from .importance import head_importance, unit_importance
from .units import FEED_FORWARD_LAYERS, FEED_FORWARD_SIZES, feed_forward_blocks, prune_units
from .weights import keep_zeros, linear_layers, prune_weights, track_movement

__all__ = [
    "ATTENTION_LAYERS",
    "FEED_FORWARD_LAYERS",
    "FEED_FORWARD_SIZES",
    "PruningError",
    "attention_blocks",
    "check_amount",
    "feed_forward_blocks",
    "head_importance",
    "keep_zeros",
    "linear_layers",
    "load_pruned",
    "prune_heads",
    "prune_units",
    "prune_weights",
    "track_movement",
    "unit_importance",
]
