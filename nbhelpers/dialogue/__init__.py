"""Dialogues as model inputs: each turn alone, a window of turns around it, or the whole dialogue in one pass.

What a model reads beside a turn is its `context`:

- "none": each text alone. The examples have "input_ids" and "labels".
- "windows": one example per turn, with the turn, some turns before it and perhaps some after it.
- "whole_dialogues": one example per dialogue, in which every turn is classified. That takes one pass instead of one per
  turn.

With a context, an example also has "starts" and "ends": the position of the first token of each turn to classify, and
of the one after its last. Your model averages the vectors of these tokens and classifies the mean:

    hidden = encoder(input_ids, attention_mask).last_hidden_state                # [batch, tokens, size]
    position = torch.arange(hidden.shape[1])
    own = (position >= starts[..., None]) & (position < ends[..., None])         # [batch, turns, tokens]
    mean = own.float() @ hidden / own.sum(-1, keepdim=True).clamp(min=1)         # [batch, turns, size]
    logits = head(mean)                                                          # [batch, turns, classes]

(`encoders.MeanPoolingClassifier` of nbhelpers is such a model.) Examples are lists of numbers without padding. A
collator pads input_ids with the pad token and makes the attention mask; it pads starts and ends with 0, which marks no
turn, and labels with -100.

No example has turns of two dialogues. A window has later turns only if you ask for them with `future`. A whole dialogue
has all its turns, and an ordinary encoder lets each token see all of them. If a turn must not see later ones, the model
needs an attention mask [batch, 1, tokens, tokens] in which a token sees its own turn and earlier ones.
(`encoders.causal_turn_mask` makes it; a model with `config.causal_turns` uses it.)

Training, evaluation and a service must make their inputs in the same way. So keep the settings with the model:

    settings = {"context": "windows", "past": 5, "speaker_format": "name"}
    examples = dialogue.make_examples(
        texts, tokenizer, labels=labels, dialogue_ids=dialogue_ids, speakers=speakers, **settings
    )
    ...                                  # train
    model.config.settings = settings     # save_pretrained writes this into config.json

and use them where the model is loaded again:

    options = dialogue.input_options(model.config.settings)
    examples = dialogue.make_examples(texts, tokenizer, dialogue_ids=dialogue_ids, speakers=speakers, **options)

Turns are separated as the model has learned to separate two texts: `<s> turn </s></s> turn </s></s> turn </s>` for
RoBERTa, `[CLS] turn [SEP] turn [SEP]` for BERT. An example with a small vocabulary:

>>> from transformers import BertTokenizer
>>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "you", "did", "what", "?", "sold", "it", "."]
>>> tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=512)
>>> texts = ["You did what?", "Sold it.", "What?"]
>>> (example,) = make_examples(texts, tokenizer, dialogue_ids=[0, 0, 0], labels=[1, 0, 1], context="whole_dialogues")
>>> tokenizer.decode(example["input_ids"])
'[CLS] you did what? [SEP] sold it. [SEP] what? [SEP]'
>>> example["starts"], example["ends"], example["labels"]
([1, 6, 10], [5, 9, 12], [1, 0, 1])
"""

from .examples import CONTEXTS, INPUT_SETTINGS, input_options, make_examples, upgrade_settings
from .layout import Layout, whole_dialogues, windows
from .turns import (
    NUM_SPEAKER_TOKENS,
    SPEAKER_FORMATS,
    add_speaker_tokens,
    encode_turns,
    spans,
    speaker_numbers,
    speaker_tokens,
)

__all__ = [
    "CONTEXTS",
    "INPUT_SETTINGS",
    "NUM_SPEAKER_TOKENS",
    "SPEAKER_FORMATS",
    "Layout",
    "add_speaker_tokens",
    "encode_turns",
    "input_options",
    "make_examples",
    "spans",
    "speaker_numbers",
    "speaker_tokens",
    "upgrade_settings",
    "whole_dialogues",
    "windows",
]
