"""Tagging: find named entities in text, from files with tags to positions in a text.

How to use it: copy this folder into your project (it needs numpy, pandas, regex, scikit-learn and seqeval). Read a file
in CoNLL's format, in whichever scheme it is written; the tags you get are in IOB2:

    splits = load("talks/")                      # split -> sentences with words and tags
    describe(splits)
    names = tag_names(entity_types(splits))      # O, B-PER, I-PER, ...

Make examples for a model, and train it with transformers:

    examples = make_examples(words, tokenizer, labels)        # input_ids, starts, ends, labels
    examples = [{"input_ids": x["input_ids"], "labels": token_labels(x)} for x in examples]
    model = AutoModelForTokenClassification.from_pretrained("roberta-base", id2label=dict(enumerate(names)))

A model that reads `starts` and `ends` itself, such as `encoders.MeanPoolingClassifier`, needs no `token_labels`. Turn
its logits into entities, and count only those that are right as a whole:

>>> names = tag_names(["PER", "LOC"])
>>> text = "Ann Lobo left Paris."
>>> words = split_words(text)
>>> logits = [[0, 4, 0, 0, 0], [1, 0, 3, 0, 0], [5, 0, 0, 0, 0], [0, 0, 0, 1, 3], [5, 0, 0, 0, 0]]
>>> tags = decode(logits, names)  # I-LOC alone is no entity, so the fourth word gets the next best tag
>>> tags
['B-PER', 'I-PER', 'O', 'B-LOC', 'O']
>>> [(text[start:stop], kind) for start, stop, kind in to_text(words, entities(tags))]
[('Ann Lobo', 'PER'), ('Paris', 'LOC')]
>>> entity_scores([["B-PER", "O", "O", "B-LOC", "O"]], [tags]).loc["all", ["precision", "recall", "f1"]].tolist()
[0.5, 0.5, 0.5]

The files: `files` and `splits` read; `schemes` knows IOB1, IOB2 and BIOES; `words` divides a text; `examples` makes
what a model reads; `decoding` gets from logits to tags; `scores` counts.
"""

from .decoding import allowed_transitions, decode
from .errors import TagError
from .examples import NO_LABEL, PIECES, make_examples, token_labels
from .files import CONLL, Sentence, read, write_conll
from .schemes import SCHEMES, Entity, detect, entities, fault, from_iob2, tag_names, tags_of, to_iob2
from .scores import draw_entity_f1, entity_f1, entity_scores, token_scores
from .splits import describe, entity_types, load
from .words import Mention, Word, split_words, to_text, to_words

__all__ = [
    "CONLL",
    "NO_LABEL",
    "PIECES",
    "SCHEMES",
    "Entity",
    "Mention",
    "Sentence",
    "TagError",
    "Word",
    "allowed_transitions",
    "decode",
    "describe",
    "detect",
    "draw_entity_f1",
    "entities",
    "entity_f1",
    "entity_scores",
    "entity_types",
    "fault",
    "from_iob2",
    "load",
    "make_examples",
    "read",
    "split_words",
    "tag_names",
    "tags_of",
    "to_iob2",
    "to_text",
    "to_words",
    "token_labels",
    "token_scores",
    "write_conll",
]
