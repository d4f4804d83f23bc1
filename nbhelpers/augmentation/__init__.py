"""Augmentation: more training data from the data there is, by small changes to texts or by mixing their vectors.

Copy this folder into your project; it needs torch and numpy. An operation is a function `operation(text, rng)` with a
`random.Random`. `augment` applies one to each training text:

>>> import random
>>> texts, labels = ["The staff were really nice!", "I do not like this movie."], ["positive", "negative"]
>>> result = augment(texts, labels, replace_synonyms, num_copies=1, seed=0)
>>> result.texts[2:]
['The staff were truly nice!', 'I do not like this film.']
>>> result.labels, result.sources, result.num_missing
(['positive', 'negative', 'positive', 'negative'], [0, 1, 0, 1], 0)

Options are set with `functools.partial(replace_synonyms, alpha=0.2)`. EDA (arXiv 1901.11196) mixes four operations:

>>> def eda(text, rng):
...     return rng.choice([replace_synonyms, insert_synonyms, swap_words, delete_words])(text, rng)
>>> len(augment(texts, labels, eda, num_copies=4).texts)
10

Three things decide whether this helps or harms:

- Split first, then augment the training set alone. Otherwise versions of one text are in train and in dev, and the
  score on dev is too high. Each row has the index of its original in `sources`, and `check_no_leak` compares two sets.
- A change can break a label. Negations are protected unless you pass other `protected` words; which other words carry
  the label depends on your task. `breaks_label` finds what was lost, so that you can count it on a sample:

>>> without = augment(["That is not good."] * 50, [0] * 50, lambda t, rng: delete_words(t, rng, protected=()))
>>> sum(bool(breaks_label("That is not good.", text)) for text in without.texts[50:])
12

- Compare with the same number of updates without augmentation: four copies of each text are also four epochs more.

The operations are for languages that put spaces between words; synonyms and typing errors are for English.

The files: `operations` has the four operations of EDA, `noise` typing errors and masked words, `rows` makes the copies
and checks for leaks, `mixing` is mixup as a training objective, `synonyms` reads tables of synonyms, of which
`synonyms.txt` is one, and `words` splits texts and knows which words are protected.
"""

from .mixing import mixup
from .noise import make_typos, replace_masked_words
from .operations import delete_words, insert_synonyms, replace_synonyms, swap_words
from .rows import Augmented, augment, check_no_leak
from .synonyms import load_synonyms, read_wordnet
from .words import EMOTION_WORDS, NEGATIONS, breaks_label

__all__ = [
    "EMOTION_WORDS",
    "NEGATIONS",
    "Augmented",
    "augment",
    "breaks_label",
    "check_no_leak",
    "delete_words",
    "insert_synonyms",
    "load_synonyms",
    "make_typos",
    "mixup",
    "read_wordnet",
    "replace_masked_words",
    "replace_synonyms",
    "swap_words",
]
