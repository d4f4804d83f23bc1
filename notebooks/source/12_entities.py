# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 12. Named entities
#
# *"Jasper and I got as far as Jasper, Alberta, before either of us noticed we had packed for the wrong season."* Who is
# traveling, and where to? The same word is a person and then a place, so no list of names can answer. And one label for
# the whole text, as in [lesson 3](03_baseline.ipynb), is not enough: each word needs one. But then, in this course's
# sentences, a model that finds no name at all is right for four of five words. So how do you find names, and how do you
# count them?
#
# After this lesson you can
#
# - read, check and convert tagged files, and train an encoder that finds names in your own texts,
# - score names as a whole, and see what a token score hides,
# - give exact positions in any text: long ones, ones in capitals, ones with emojis.
#
# You should know logits, F1 and the training loop ([lesson 3](03_baseline.ipynb)).
#
# <!-- facts -->
# Measured: default profile 1.6 min, 1.9 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | A tag for each word | 3 |
# | Words and their pieces | 2 |
# | Train | 1 |
# | Count entities, not words | 3 |
# | Tags that fit together | 1 |
# | Which pieces? | 1 |
# | CAPITALS and lower case | 2 |
# | Positions in a text | 1 |
# | What goes wrong | 4 |
# | Now yours | 1 |
# | Exercises | 1 |
# | Quiz | 1 |
# | Recap | 1 |
#
# <!-- /outline -->
#
# The first cell does nothing if the course is already installed.

# %% Setup
try:
    from nbhelpers import environment
except ImportError:  # on Colab, Kaggle or a server
    from pathlib import Path
    from runpy import run_path

    found = [path for path in (Path("colab.py"), Path("nbhelpers/notebooks/colab.py")) if path.exists()]
    assert found, "first get the course:  !git clone <the address of this course> nbhelpers"
    run_path(str(found[0]))

# %% [markdown]
# The picture shows how a text becomes probabilities. This lesson changes the blue steps: a word can have several
# tokens, and the head receives a vector for each word, not one for the text.

# %%
from nbhelpers.course.diagrams import tagging as drawings
from nbhelpers.course.lesson import LiveTraining, check, diagrams, explore, headline, quiz

diagrams.path(["tokens", "pooling"])

# %%
import itertools
import random
import tempfile
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
import transformers

from nbhelpers import batching, classifier, corpora, encoders, environment, objectives, plots, tagging, training

transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show

# %% [markdown]
# What can be set in this lesson:

# %% cellView="form" tags=["parameters"]
# @markdown "entities" (included), or a file or folder with tagged sentences: CoNLL's format or JSON lines.
corpus = "entities"  # @param {type: "string"}
# @markdown "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown Number of passes over the training data; the epoch with the best dev score is kept.
num_epochs = 3  # @param {type: "integer"}
# @markdown Peak learning rate of the encoder (the head has ten times as much); roberta-large needs about 0.00001.
lr = 2e-4  # @param {type: "number"}
# @markdown Largest number of sentences in a batch.
batch_size = 16  # @param {type: "integer"}
# @markdown Which pieces of a word stand for it: its "first", the "mean" of all, or "all", each with a label.
pieces = "first"  # @param ["first", "mean", "all"]
# @markdown Largest number of tokens that are read at once (16 or more); longer texts are read in overlapping windows.
max_length = 128  # @param {type: "integer"}
# @markdown Use only about this many sentences of each split, spread over it; 0 uses all.
num_rows = 0  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# ## A tag for each word
#
# Load the corpus. `tagging.load` reads a file, or a folder with a file for each split. If dev or test is missing, a
# fifth of train is held out for it.

# %%
pd.set_option("display.max_colwidth", 150, "display.html.use_mathjax", False)
source = corpora.DATA / "entities" if corpus == "entities" else corpus
splits = tagging.load(source, dev_share=0.2, test_share=0.2, seed=seed)
types = tagging.entity_types(splits)
names = tagging.tag_names(types)
for split, part in splits.items():
    splits[split] = part[:: max(1, len(part) // (num_rows or len(part)))]
words = {split: [sentence.words for sentence in part] for split, part in splits.items()}
gold = {split: [sentence.tags for sentence in part] for split, part in splits.items()}
tagging.describe(splits)

# %% [markdown]
# *Entities* are what the field calls such names. In the course's corpus they are people (PER), places (LOC),
# organizations (ORG), products and works (PROD) and dates (DATE). Each word has a *tag*, as in this training sentence:

# %%
short = [sentence for sentence in splits["train"] if len(sentence.words) <= 16] or splits["train"]
sentence = max(short, key=lambda x: len({entity.type for entity in tagging.entities(x.tags)}))
pd.DataFrame([sentence.words, sentence.tags], ["word", "tag"])

# %% [markdown]
# A tag says two things: the type of the entity, and whether the word begins it (B-) or is inside it (I-). O is outside
# of all entities. Why is the type not enough? Because one name can follow another directly. Three *schemes* mark where
# one ends:

# %%
drawings.tag_schemes()

# %% [markdown]
# - **IOB1** writes B- only where an entity directly follows one of its own type. CoNLL-2003, the best known corpus of
#   names, was published in IOB1.
# - **IOB2** writes B- at the beginning of each entity. Most programs expect it.
# - **BIOES** also marks the last word with E-, and an entity of a single word with S-.
#
# The three say the same, so they can be converted without a loss. Here are two people and a place:

# %%
touching = ["B-PER", "I-PER", "B-PER", "O", "B-LOC"]
pd.DataFrame({scheme: tagging.from_iob2(touching, scheme) for scheme in tagging.SCHEMES}).T

# %% [markdown]
# A file does not say which scheme it has. `tagging.read` finds out, and always returns IOB2. As a test, write dev in
# each scheme, read it again, and count the tags by their first letter:

# %%
folder = Path(tempfile.mkdtemp())
for scheme in tagging.SCHEMES:
    converted = [x._replace(tags=tagging.from_iob2(x.tags, scheme)) for x in splits["dev"]]
    tagging.write_conll(converted, folder / f"{scheme}.conll")
    with_prefix = Counter(tag[0] for x in converted for tag in x.tags)
    same = [x.tags for x in tagging.read(folder / f"{scheme}.conll")] == gold["dev"]
    print(f"{scheme}: {dict(with_prefix)}; {'the same tags again' if same else 'OTHER TAGS'}")

# %% [markdown]
# How many B- are left in IOB1? (None, if B is not listed.) A program that takes such a file for IOB2 finds hardly any
# entity. "What goes wrong" shows the scores.
#
# The reader also checks. In the second sentence of the next file, *Kent* has I-LOC after O. IOB1 allows that, but not
# the B-ORG after O in the first sentence. So there is a mistake somewhere:

# %%
faulty = "The O\nKent B-ORG\nTrust I-ORG\nbought O\nit O\n\nBut O\nKent I-LOC\ndid O\nnot O\n"
(folder / "faulty.conll").write_text(faulty)
try:
    tagging.read(folder / "faulty.conll")
except tagging.TagError as error:
    print("TagError:", error)

# %% [markdown]
# Many programs accept such a tag silently, each in its own way, and so count different entities.
#
# **Exercise.** Convert the tags of a sentence from IOB1 to IOB2. You get a list such as `["I-LOC", "B-LOC", "O"]`.
# Return a list of the same length.


# %%
def to_iob2(tags):
    return None  # your code


check("12-iob2", to_iob2)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def to_iob2(tags):
#     converted, last = [], "O"
#     for tag in tags:
#         continues = tag[0] == "I" and tag[2:] == last[2:]
#         converted.append(tag if tag == "O" or continues else "B-" + tag[2:])
#         last = tag
#     return converted
# ```
# </details>
#
# ## Words and their pieces
#
# A tag belongs to a word, but an encoder reads *tokens*. Names are rarer than other words, so a tokenizer often divides
# them into *pieces*. Compare words in and outside of entities, and see which words have the most:

# %%
device = environment.best_device()
precision, _ = environment.best_precision(device)
tokenizer = corpora.normalizing_tokenizer(encoders.load(encoder, names)[0])
num_pieces, in_entity = defaultdict(int), Counter()
for sentence in splits["train"]:
    for word, tag in zip(sentence.words, sentence.tags, strict=True):
        kind = "O" if tag == "O" else "in an entity"
        num_pieces[kind] += len(tokenizer.tokenize(word))
        in_entity[kind] += 1
print({kind: f"{num_pieces[kind] / count:.2f} tokens per word" for kind, count in in_entity.items()})

# %%
longest = sorted({w for s in words["train"] for w in s}, key=lambda w: (-len(tokenizer.tokenize(w)), w))[:5]
pd.DataFrame({"word": longest, "tokens": [" ".join(tokenizer.tokenize(word)) for word in longest]})

# %% [markdown]
# Which of the pieces gets the label of the word? Choose:

# %%
explore(drawings.word_pieces, pieces=["first", "mean", "all"])

# %% [markdown]
# - **first**: the vector of the first piece is classified. Attention has already mixed the other pieces into it.
# - **mean**: the mean of all pieces of a word is classified.
# - **all**: each piece is classified. In a name, the pieces after the first get I-. In prediction, the first one
#   counts.
#
# `tagging.make_examples` makes what the model reads. The tokens from `starts` to `ends` (excluded) stand for a word.
# Label 0 is O; 1 and 2 are B- and I- of the most frequent type:

# %%
sentence = [["Ana", "Oyelaran", "left"]]
table = {kind: tagging.make_examples(sentence, tokenizer, [[1, 2, 0]], pieces=kind)[0] for kind in ("first", "mean")}
pd.DataFrame(table).T

# %% [markdown]
# Only `ends` can differ. The course's classifier averages their vectors, as it does for turns in [lesson
# 6](06_meld_context.ipynb): a word is a very short turn. The third way has more labels than words and needs more lines:


# %%
def label_all_pieces(example):
    tokens = []  # position and label
    for start, end, label in zip(example["starts"], example["ends"], example["labels"], strict=True):
        inside = names.index(names[label].replace("B-", "I-", 1))
        tokens += [(start, label), *((position, inside) for position in range(start + 1, end))]
    starts, labels = (list(column) for column in zip(*tokens, strict=True))
    return {**example, "starts": starts, "ends": [start + 1 for start in starts], "labels": labels}


label_all_pieces(table["mean"])

# %% [markdown]
# **Exercise.** The models of transformers (`AutoModelForTokenClassification`) want a label for each token. Make them
# for "first" from the labels of the words and the number of pieces of each word. Add a token before and after them, for
# `[CLS]` and `[SEP]`. What has no label gets -100, which the loss ignores.


# %%
def label_tokens(labels, num_pieces):
    return None  # your code


check("12-pieces", label_tokens)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def label_tokens(labels, num_pieces):
#     tokens = [-100]
#     for label, size in zip(labels, num_pieces):
#         tokens += [label] + [-100] * (size - 1)
#     return tokens + [-100]
# ```
#
# The helper `tagging.token_labels` does the same for an example.
# </details>
#
# ### Longer than the encoder reads
#
# A contract is longer. The usual `truncation=True` drops the rest without a message. `make_examples` reads the text in
# overlapping windows instead:

# %%
drawings.overlapping_windows()

# %% [markdown]
# Each word is classified once, with words on both sides where the text has them. Join the test sentences to texts of 20
# sentences, and count the words that are classified:

# %%
ids = {split: [[names.index(tag) for tag in tags] for tags in part] for split, part in gold.items()}
groups = [range(i, min(i + 20, len(gold["test"]))) for i in range(0, len(gold["test"]), 20)]
texts = [[word for i in group for word in words["test"][i]] for group in groups]
gold_of_texts = [[tag for i in group for tag in gold["test"][i]] for group in groups]

# %%
truncated = tokenizer(texts, is_split_into_words=True, truncation=True, max_length=max_length)
num_kept = [len({i for i in truncated.word_ids(row) if i is not None}) for row in range(len(texts))]
in_windows = tagging.make_examples(texts, tokenizer, max_length=max_length)
print(f"{len(texts)} texts with {sum(map(len, texts)):,} words together")
print(f"truncated at {max_length} tokens: {sum(num_kept):,} words are left")
print(f"in {len(in_windows)} windows: {sum(len(x['starts']) for x in in_windows):,} words are classified")

# %% [markdown]
# ## Train
#
# The next two cells define how to predict and train. The parameter `pieces` chooses the way. The score on dev,
# `entity_f1`, counts whole entities; the next section explains it.


# %%
def dataloader(sentences, labels, way, shuffle=False):
    kind = "first" if way == "first" or (way == "all" and not shuffle) else "mean"
    examples = tagging.make_examples(sentences, tokenizer, labels, pieces=kind, max_length=max_length)
    if way == "all" and shuffle:  # for training
        examples = [label_all_pieces(example) for example in examples]
    options = {"batch_size": batch_size, "shuffle": shuffle, "seed": seed}
    return batching.make_dataloader(examples, tokenizer.pad_token_id, **options)


def log_probabilities(model, sentences, way=pieces):
    rows = training.predict(model, dataloader(sentences, None, way), precision=precision).log_softmax(-1).numpy()
    return np.split(rows, np.cumsum([len(sentence) for sentence in sentences])[:-1])  # per sentence: [words, tags]


# %%
def train(way):
    environment.set_seed(seed)  # the same random head each time
    model = encoders.load(encoder, names, attention_dropout=0.0)[1].to(device)
    encoders.use_fast_layers(model, device, precision)
    batches = dataloader(words["train"], ids["train"], way, shuffle=True)
    optimizer = training.make_optimizer(model, lr, head_lr=10 * lr)
    scheduler = training.make_scheduler(optimizer, num_epochs * len(batches))
    settings = {"num_epochs": num_epochs, "precision": precision, "log": LiveTraining(num_epochs)}
    settings["evaluate"] = lambda model: tagging.entity_f1(gold["dev"], predict(model, words["dev"], way))
    training.fit(model, batches, objectives.cross_entropy, optimizer, scheduler, **settings)
    return model


def predict(model, sentences, way=pieces):
    return [tagging.decode(rows, names) for rows in log_probabilities(model, sentences, way)]


# %%
tagger = train(pieces)

# %% [markdown]
# Does the dev score, below the loss, still rise in the last epoch? Now read some test sentences that are not completely
# right:


# %%
def listed(sentence, tags):
    found = (f"{' '.join(sentence[start:stop])} ({kind})" for start, stop, kind in tagging.entities(tags))
    return ", ".join(found) or "-"


predicted = predict(tagger, words["test"])
rows = zip(words["test"], gold["test"], predicted, strict=True)
rows = [(" ".join(x), listed(x, right), listed(x, found)) for x, right, found in rows]
table = pd.DataFrame(rows, columns=["sentence", "gold", "found"])
print(f"{(table['gold'] == table['found']).sum()} of {len(table)} test sentences are completely right")
table[table["gold"] != table["found"]].head(6)

# %% [markdown]
# ## Count entities, not words
#
# An entity is right if its first word, its last word and its type are right. Everything else is wrong: "Umgeni Valley"
# for "Umgeni Valley Growers" helps nobody who fills a table with companies. *Precision* is the share of the found
# entities that are right, and *recall* is the share of the gold entities that were found. F1 combines both.
# `entity_scores` computes them with *seqeval*, the field's usual library, in its strict mode. `support` counts the gold
# entities, and "all" takes all types together:

# %%
scores = tagging.entity_scores(gold["test"], predicted)
(100 * scores[["precision", "recall", "f1"]]).round(1).assign(support=scores["support"])

# %% [markdown]
# Many tutorials report the *token F1* instead: the weighted F1 of all tags, with O among them. How do the two compare?
# Besides the trained model, the table has two simple ones. One predicts O for each word. The other gives each word the
# tag that it most often has in train, and O to words that it does not know.

# %%
tags_of_word = defaultdict(Counter)
for sentence in splits["train"]:
    for word, tag in zip(sentence.words, sentence.tags, strict=True):
        tags_of_word[word][tag] += 1
usual_tag = {word: counts.most_common(1)[0][0] for word, counts in tags_of_word.items()}

# %%
models = {"only O": [["O"] * len(x) for x in words["test"]]}
models["the usual tag of each word"] = [[usual_tag.get(word, "O") for word in x] for x in words["test"]]
models["trained"] = predicted


def all_scores(tags):
    return {**tagging.token_scores(gold["test"], tags), "entity F1": tagging.entity_f1(gold["test"], tags)}


(100 * pd.DataFrame({name: all_scores(tags) for name, tags in models.items()}).T).round(1)

# %% [markdown]
# Compare the first columns with the last. "Only O" finds nothing, so its entity F1 is 0. But accuracy and weighted F1
# count the words outside of entities, and they are most of the words. "Weighted F1 without O" is better, but it counts
# the found words of a name even if its last word is missing.
#
# A tutorial reports a token F1 of 97.3 %. How few entities could its model get right? Take the gold tags, and spoil
# more and more entities: of each, only the last word becomes O, and all other words stay right.

# %%
places = [(i, entity) for i, tags in enumerate(gold["test"]) for entity in tagging.entities(tags)]
random.Random(seed).shuffle(places)


def spoil(count):
    tags = [list(x) for x in gold["test"]]
    for i, entity in places[:count]:
        tags[i][entity.stop - 1] = "O"
    return all_scores(tags)


# %%
percent = pd.Index(range(0, 101, 2), name="spoiled entities (%)")
curve = 100 * pd.DataFrame([spoil(len(places) * x // 100) for x in percent], percent)
plots.run_curves(curve[["weighted F1", "entity F1"]], "F1 (%)", over="spoiled entities")

# %% [markdown]
# At the right end of the picture, not one entity is right. How high is the token F1 there? And where it is 97.3 %?

# %%
at = min(curve.index[curve["weighted F1"] <= 97.3], default=100)
print(f"{at} % of the entities are spoiled: token F1 {curve['weighted F1'][at]:.1f} %")
print(f"entity F1 {curve['entity F1'][at]:.1f} %")

# %% [markdown]
# The first line has the first token F1 of 97.3 % or less, the second the entity F1 of the same tags. So if you see a
# token score, ask for the F1 of entities, per type.
#
# **Exercise.** Write the F1 of entities by hand. You get the entities of each sentence, as gold and as predicted, in
# two lists of lists. An entity is (start, stop, type), where stop is one after its last word. For two sentences, `gold`
# is for instance `[[(0, 2, "PER")], [(1, 2, "LOC"), (4, 5, "DATE")]]`. If there are no entities at all, return 0.


# %%
def f1_of_entities(gold, predicted):
    return None  # your code


check("12-f1", f1_of_entities)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def f1_of_entities(gold, predicted):
#     hits = sum(len(set(a) & set(b)) for a, b in zip(gold, predicted))
#     total = sum(map(len, gold)) + sum(map(len, predicted))
#     return 2 * hits / total if total else 0
# ```
# </details>
#
# What kind of errors are they? The table counts the found entities by what is wrong, and in its last row the gold
# entities where nothing was found:


# %%
def kind_of(entity, right):
    same_place = [x for x in right if x[:2] == entity[:2]]
    overlaps = [x for x in right if x.start < entity.stop and entity.start < x.stop]
    if entity in right:
        return "right"
    return "wrong type" if same_place else "wrong first or last word" if overlaps else "no entity there"


# %%
pairs = [(tagging.entities(a), tagging.entities(b)) for a, b in zip(gold["test"], predicted, strict=True)]
found = Counter(kind_of(entity, right) for right, entities in pairs for entity in entities)
found["missed: nothing found there"] = sum(
    kind_of(entity, entities) == "no entity there" for right, entities in pairs for entity in right
)
pd.DataFrame({"entities": found})

# %% [markdown]
# ## Tags that fit together
#
# The head classifies each word by itself. So it may predict I-LOC after O, which is no entity in IOB2. *Constrained
# decoding* looks for the sequence that follows the rules and has the largest product of probabilities. With two words
# and three tags, all can be tried:

# %%
tags = ["O", "B-PER", "I-PER"]
p = np.array([[0.5, 0.4, 0.1], [0.1, 0.2, 0.7]])  # [words, tags]
paths = {(a, b): p[0, a] * p[1, b] for a, b in itertools.product(range(3), repeat=2)}
allowed = {path: x for path, x in paths.items() if tagging.fault([tags[i] for i in path], "iob2") is None}
print("each word alone:", [tags[i] for i in p.argmax(-1)])
print("the best allowed sequence:", [tags[i] for i in max(allowed, key=allowed.get)])

# %% [markdown]
# O, I-PER has the largest product (0.35), but is not allowed. B-PER, I-PER is next (0.28). With 20 words and 11 tags
# there are 11 to the power of 20 sequences, too many to try. So `tagging.decode` uses the *Viterbi algorithm*. It goes
# from word to word and keeps only the best sequence that ends in each tag. What does it gain, without any training?
# "Each word alone" leaves an I- without its B- as it is, so it is in no entity. "Repaired" turns it into a B-, as many
# programs do.


# %%
def repaired(tags):
    pairs = itertools.pairwise(["O", *tags])
    return [f"B-{b[2:]}" if b[0] == "I" and a[2:] != b[2:] else b for a, b in pairs]


# %%
ways, broken = {}, {}
for split in ("dev", "test"):
    alone = [[names[i] for i in x.argmax(-1)] for x in log_probabilities(tagger, words[split])]
    broken[split] = sum(tagging.fault(tags, "iob2") is not None for tags in alone)
    ways[split] = {"each word alone": alone, "repaired": [repaired(tags) for tags in alone]}
    ways[split]["decoded"] = predict(tagger, words[split])
print(f"sentences with an I- without its B-: {broken}")

# %%
f1 = {split: {way: tagging.entity_f1(gold[split], x) for way, x in ways[split].items()} for split in ways}
(100 * pd.DataFrame(f1)).round(1).add_prefix("entity F1 (%) on ")

# %% [markdown]
# Is the gain certain? Here is the 95 % interval of the difference, from a bootstrap over the test sentences:

# %%
drawn = tagging.draw_entity_f1(gold["test"], list(ways["test"].values()), seed=seed)  # [draws, ways]
for column, way in enumerate(list(ways["test"])[:2]):
    low, high = 100 * np.quantile(drawn[:, 2] - drawn[:, column], [0.025, 0.975])
    difference = 100 * (f1["test"]["decoded"] - f1["test"][way])
    print(f"decoded against {way}: {difference:+.1f} points, {low:+.1f} to {high:+.1f}")

# %% [markdown]
# If an interval contains 0, the gain is not certain. Do dev and test agree? Even without a gain, the tags are always
# valid, so every program reads them in the same way.
#
# ## Which pieces?
#
# Is one of the three ways better? Train the other two with the same settings. The table has the 95 % interval of the
# difference to "first", in points:

# %%
f1_of_way, tags_of_way = {}, {}
for way in ("first", "mean", "all"):
    model = tagger if way == pieces else train(way)
    tags_of_way[way] = predict(model, words["test"], way)
    f1_of_way[way] = 100 * tagging.entity_f1(gold["test"], tags_of_way[way])

# %%
drawn = tagging.draw_entity_f1(gold["test"], list(tags_of_way.values()), seed=seed)
low, high = 100 * np.quantile(drawn - drawn[:, :1], [0.025, 0.975], axis=0)
columns = {"entity F1 (%) on test": [*f1_of_way.values()], "against first, from": low, "to": high}
pd.DataFrame(columns, [*f1_of_way]).round(1)

# %% [markdown]
# If an interval contains 0, these sentences do not tell the two apart. The interval only covers the choice of
# sentences: another seed changes the scores as well ([lesson 3](03_baseline.ipynb)). Whatever you choose, choose the
# same in training and in prediction.
#
# ## CAPITALS and lower case
#
# Some headlines are in capitals, and many chats in lower case. The course's test split has both. Score the three kinds
# of sentences separately:


# %%
def case_of(sentence):
    letters = "".join(sentence)
    return "CAPITALS" if letters.isupper() else "lower case" if letters.islower() else "as usual"


# %%
def scores_by_case(tags):
    rows = {}
    for case in ("as usual", "CAPITALS", "lower case"):
        picked = [i for i, sentence in enumerate(words["test"]) if case_of(sentence) == case]
        table = tagging.entity_scores([gold["test"][i] for i in picked], [tags[i] for i in picked])
        rows[case] = {"sentences": len(picked), "entities": table.loc["all", "support"]}
        rows[case] |= {f"{x} (%)": round(100 * table.loc["all", x], 1) for x in ("precision", "recall", "f1")}
    return pd.DataFrame(rows).T.astype({"sentences": int, "entities": int})


scores_by_case(predicted)

# %% [markdown]
# If a kind has few entities, read its scores with care. Does the encoder see the case at all? Write each test sentence
# in capitals and in lower case, and compare the tokens and the score:

# %%
changed = {"CAPITALS": str.upper, "lower case": str.lower}
for case, change in changed.items():
    other = [[change(word) for word in sentence] for sentence in words["test"]]
    pairs = zip(words["test"], other, strict=True)
    same = np.mean([tokenizer(" ".join(a))["input_ids"] == tokenizer(" ".join(b))["input_ids"] for a, b in pairs])
    f1_then = 100 * tagging.entity_f1(gold["test"], predict(tagger, other))
    print(f"all in {case}: the same tokens in {100 * same:.0f} % of the sentences, entity F1 {f1_then:.1f} %")

# %% [markdown]
# An *uncased* encoder puts all letters into lower case, so nothing changes for it (nearly nothing: ß becomes SS). A
# *cased* one, such as roberta-base, sees three different texts, and its scores may fall where train has few of the
# kind. (If the tokens are the same but the table above has different scores, the case is not the reason: headlines and
# chats also differ in other ways.) So is it best to ignore the case?
#
# Not in every text. In "I was reading in Reading", the capital is the clearest sign of the town. Some names have only
# ordinary words, which are O elsewhere in train. How many are found?

# %%
ordinary = {w.lower() for s in splits["train"] for w, tag in zip(s.words, s.tags, strict=True) if tag == "O"}
rows = defaultdict(lambda: {"entities": 0, "found": 0})
for sentence, right, tags in zip(words["test"], gold["test"], predicted, strict=True):
    for entity in tagging.entities(right):
        is_ordinary = all(word.lower() in ordinary for word in sentence[entity.start : entity.stop])
        row = rows["ordinary words" if is_ordinary else "with a word that is never O in train"]
        row["entities"] += 1
        row["found"] += entity in tagging.entities(tags)

# %%
table = pd.DataFrame(rows).T
table.assign(**{"recall (%)": (100 * table["found"] / table["entities"]).round(1)})

# %% [markdown]
# Compare the recall, and the number of entities behind it. To see what the case is worth, train a linear classifier on
# the vectors of the *frozen* encoder. It is weaker than the trained model, but takes seconds. Its second version also
# gets two numbers: does the word begin with a capital, and is it in capitals?


# %%
class WordVectors(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = encoders.load(encoder, names)[1].base_model

    def forward(self, input_ids, attention_mask, starts, ends):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return SimpleNamespace(logits=encoders.mean_over_turns(hidden, starts, ends))


# %%
frozen = WordVectors().to(device)
splits_used = ("train", "test")
vectors = {x: training.predict(frozen, dataloader(words[x], None, "mean"), precision=precision) for x in splits_used}
flat = {x: [word for sentence in words[x] for word in sentence] for x in splits_used}
case = {x: np.array([(word[:1].isupper(), word.isupper()) for word in flat[x]]) for x in splits_used}

# %%
from sklearn.linear_model import LogisticRegression

labels = [label for sentence in ids["train"] for label in sentence]
edges = np.cumsum([len(sentence) for sentence in words["test"]])[:-1]
tables = {}
for version in ("without case", "with case"):
    inputs = {x: vectors[x].numpy() if version == "without case" else np.hstack([vectors[x], case[x]]) for x in case}
    linear = LogisticRegression(max_iter=100, tol=1e-3).fit(inputs["train"], labels)
    logs = np.full((len(inputs["test"]), len(names)), -np.inf)
    logs[:, linear.classes_] = linear.predict_log_proba(inputs["test"])
    tables[version] = scores_by_case([tagging.decode(rows, names) for rows in np.split(logs, edges)])
pd.concat(tables)

# %% [markdown]
# Compare the two versions line by line. In usual sentences a capital is a clue. In capitals it is none, because every
# word has one. If your texts have orderly capitals, as news and contracts do, try a cased encoder. If they come from
# chats and headlines, an uncased one is the safer choice. Or train a cased encoder also on copies of the sentences in
# lower case ([Mayhew et al. 2019](https://arxiv.org/abs/1903.11222)).
#
# ## Positions in a text
#
# So far the words were given. A real text is a string, and the result should be positions in it: "from 4 to 12 is a
# person". `split_words` divides a text and remembers where each word is, and `to_text` goes back:


# %%
def find_entities(text):
    found = tagging.split_words(text)
    if not found:
        return [], np.zeros((0, len(names))), []
    (rows,) = log_probabilities(tagger, [[word.text for word in found]])
    tags = tagging.decode(rows, names)
    return found, np.exp(rows), tagging.to_text(found, tagging.entities(tags))


# %%
text = "👩‍🚀 Zoe\u0308 O'Hara flew from Sa\u0303o Paulo to Nairobi on Tuesday 🎉"
rows = [(*mention, text[mention.start : mention.stop]) for mention in find_entities(text)[2]]
pd.DataFrame(rows, columns=["from", "to", "type", "text[from:to]"])

# %% [markdown]
# Check the last column: each position cuts out whole words, with their accents. The astronaut is one character for a
# reader and three *code points* for Python: a woman, a joiner and a rocket. Here ë and ã are a letter and a *combining*
# accent. A word is never cut between them.
#
# Now a sentence of your own. The picture shows what is found, and the table the probabilities of each word's tags, in
# percent. Here an entity is as sure as its least sure word. Is the town Reading found? Raise `sure_from` and see which
# entities go:


# %%
def in_sentence(text, sure_from=0.0):
    found, p, mentions = find_entities(text)
    if not found:
        return "There is no word in this text."
    tags = tagging.tags_of(len(found), tagging.to_words(found, mentions))
    sure = [p[i, names.index(tag)] for i, tag in enumerate(tags)]
    entities = [x for x in tagging.entities(tags) if min(sure[x.start : x.stop]) >= sure_from]
    words = [word.text for word in found]
    table = pd.DataFrame((100 * p).round(0).astype(int), [f"{i}: {w}" for i, w in enumerate(words)], names)
    return [drawings.tagged_sentence(words, entities, types), table]


# %%
typed = "Reading is in Berkshire, and Charlotte was reading in Reading when Kent Trust called on Monday."
explore(in_sentence, text=typed, sure_from=(0.0, 1.0, 0.05))

# %% [markdown]
# Try the same sentence in lower case. Try a first name that is a word (Rose, Will, Hope), a company with the name of a
# town, and a name that the model has surely never seen.
#
# How sure is sure enough? Each line keeps only the entities of dev with at least this probability:

# %%
candidates = []  # probability and whether it is right
for tags, rows, right in zip(ways["dev"]["decoded"], log_probabilities(tagger, words["dev"]), gold["dev"], strict=True):
    sure = [np.exp(rows[i, names.index(tag)]) for i, tag in enumerate(tags)]
    candidates += [(min(sure[x.start : x.stop]), x in tagging.entities(right)) for x in tagging.entities(tags)]

# %%
num_gold = sum(len(tagging.entities(tags)) for tags in gold["dev"])
rows = {}
for threshold in (0.0, 0.5, 0.7, 0.9):
    kept = [right for probability, right in candidates if probability >= threshold]
    rows[threshold] = {"kept": len(kept), "precision (%)": 100 * sum(kept) / max(1, len(kept))}
    rows[threshold]["recall (%)"] = 100 * sum(kept) / max(1, num_gold)
pd.DataFrame(rows).T.round(1).astype({"kept": int}).rename_axis("sure from")

# %% [markdown]
# If a person checks what is found, take a low threshold. If a program acts on it, take a high one.
#
# ## What goes wrong
#
# ### Strict mode that is not strict
#
# seqeval has a strict mode. Many scripts write `mode="strict"` and forget `scheme=`. Then the mode is ignored without a
# message. As a test, take the gold tags of test and break them: every B- becomes I-.

# %%
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

warnings.filterwarnings("ignore", module="seqeval|sklearn")  # of scores without any prediction
calls = {"f1_score(...)": {}, 'mode="strict"': {"mode": "strict"}}
calls['mode="strict", scheme=IOB2'] = {"mode": "strict", "scheme": IOB2}

# %%
no_beginnings = [[tag.replace("B-", "I-", 1) for tag in tags] for tags in gold["test"]]
rows = {call: {"no B- at all": f1_score(gold["test"], no_beginnings, **given)} for call, given in calls.items()}
for call, given in calls.items():
    rows[call]["the trained model, each word alone"] = f1_score(gold["test"], ways["test"]["each word alone"], **given)
(100 * pd.DataFrame(rows).T).round(1)

# %% [markdown]
# Lines one and two are the same. Both find entities in tags without any B-. Only the third line is strict. For a model
# it can be higher or lower: an I- without its B- counts as nothing there, but begins an entity, right or wrong, in the
# other two. Two papers with a "strict" score may mean different lines.
#
# ### IOB1 taken for IOB2
#
# The original files of CoNLL-2003 are in IOB1. Suppose that a model is perfect: it predicts exactly the tags of its
# file.

# %%
in_iob1 = [tagging.from_iob2(tags, "iob1") for tags in gold["test"]]
strict = {"mode": "strict", "scheme": IOB2}
converted = [tagging.to_iob2(tags, "iob1") for tags in in_iob1]
for name, tags in {"IOB1 as it is": in_iob1, "converted first": converted}.items():
    counted = sum(len(tagging.entities(x)) for x in tags)
    print(f"{name}: {counted} entities counted, F1 {100 * f1_score(tags, tags, **strict):.1f} %")

# %% [markdown]
# In IOB1 only an entity that directly follows one of its type begins with B-, so hardly any is counted. Of the 5,648
# entities in CoNLL-2003's test file, 20 are left, and a score is then computed from these 20 alone. Convert when you
# read, so that training and scoring see the same scheme.
#
# ### Truncation
#
# Look again at the long texts of 20 sentences, truncated as in many tutorials. The words that are cut off have no
# prediction. In many scripts their gold tags are cut off as well:

# %%
found = predict(tagger, texts)
left = [tags[:count] for tags, count in zip(found, num_kept, strict=True)]
gold_left = [tags[:count] for tags, count in zip(gold_of_texts, num_kept, strict=True)]
filled = [tags + ["O"] * (len(right) - len(tags)) for tags, right in zip(left, gold_of_texts, strict=True)]

# %%
rows = {"truncated, scored on what is left": (gold_left, left)}
rows |= {"truncated, scored on all words": (gold_of_texts, filled), "overlapping windows": (gold_of_texts, found)}
rows["sentence by sentence"] = (gold["test"], predicted)
scored = {name: tagging.entity_scores(*pair).loc["all"] for name, pair in rows.items()}
table = pd.DataFrame({name: {"entities": x["support"], "F1 (%)": 100 * x["f1"]} for name, x in scored.items()}).T
table.round(1).astype({"entities": int})

# %% [markdown]
# The F1 of the first line does not show that entities are missing, but its first column does. Before you trust a score,
# compare its support with the number of entities in the file.
#
# Compare the last two lines as well. The model has learned from single sentences, so a long text is new to it. Windows
# lose no word, but where you can, divide a text into sentences first.
#
# ### The space before a word
#
# The tokenizer of RoBERTa and GPT-2 is a *byte-level BPE*. For it, a space is a part of the word that follows, written
# as Ġ. So "Paris" at the beginning and " Paris" in a sentence are different tokens. The embedded encoder has no such
# tokenizer, so the next cell trains a tiny one on the training words.

# %%
from tokenizers import ByteLevelBPETokenizer

sentences = [" ".join(sentence) for sentence in words["train"]]
bpe = ByteLevelBPETokenizer()
bpe.train_from_iterator(sentences, vocab_size=2000, show_progress=False, special_tokens=["<unk>"])
bytes_bpe = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, unk_token="<unk>")

# %%
print(bytes_bpe.tokenize("the museum said on Monday"))
print(bytes_bpe.tokenize(["the", "museum", "said", "on", "Monday"], is_split_into_words=True))

# %% [markdown]
# The second line is what many scripts make of a list of words: the marks of the spaces are missing. The encoder has
# hardly ever seen such a text. No error says so. How many sentences of dev keep the tokens of the *running text*, which
# is one string? And with `tagging.make_examples`?

# %%
counts, lengths = Counter(), Counter()
for sentence in words["dev"]:
    rows = {"running text": bytes_bpe(" ".join(sentence))["input_ids"]}
    rows["words, as in many scripts"] = bytes_bpe(sentence, is_split_into_words=True)["input_ids"]
    rows["tagging.make_examples"] = tagging.make_examples([sentence], bytes_bpe)[0]["input_ids"]
    for name, tokens in rows.items():
        counts[name] += tokens == rows["running text"]
        lengths[name] += len(tokens)
pd.DataFrame({"tokens": lengths, "sentences as in the running text": counts})

# %% [markdown]
# With RoBERTa, load the tokenizer with `add_prefix_space=True`, or use `make_examples`, which puts a space before each
# word but the first.
#
# ### Positions of another text
#
# Positions hold for one text only. Two usual ways to lose them: the text was cleaned before the model saw it, or the
# program that receives them counts in other units. JavaScript and Java count in units of *UTF-16*, where most emojis
# are two or more. What do they cut out at the positions of Python?

# %%
raw = "“Rain  again”, wrote   Zoe\u0308 😀👩‍🚀 to Ana Lobo"
cleaned = corpora.normalize(raw)
start = cleaned.index("Ana Lobo")
print("positions of the cleaned text, in the raw text:", repr(raw[start : start + 8]))

# %%
start = raw.index("Ana Lobo")
units = raw.encode("utf-16-le")
print("positions of Python, in JavaScript:", repr(units[2 * start : 2 * start + 16].decode("utf-16-le", "replace")))

# %% [markdown]
# Both should be 'Ana Lobo'. Split the raw text into words, and clean only what goes into the tokenizer, as
# `find_entities` does. Say in your interface which unit you count in. The course's service counts code points, and its
# page converts them.
#
# ## Now yours
#
# For a file of your own, all of this is one line: `classifier.train("talks.conll")`. It also chooses the number of
# epochs, and compares the model with a plain list of the names in train. To save time, the next cell trains for one
# epoch only, so its model is weaker:

# %%
(folder / "mine").mkdir(exist_ok=True)
for split, part in splits.items():
    tagging.write_conll(part[:1000], folder / "mine" / f"{split}.conll")
mine = classifier.train(folder / "mine", folder / "model", encoder=encoder, num_epochs=1, lr=lr, seed=seed)

# %% [markdown]
# Then predict. The file with the predictions has a column "entities", with the positions in JSON:

# %%
pd.DataFrame({"text": [typed]}).to_csv(folder / "texts.csv", index=False)
classifier.predict(mine, folder / "texts.csv", folder / "found.csv")
pd.read_csv(folder / "found.csv")

# %% [markdown]
# On the command line:
#
#     nbhelpers train talks.conll --task tags
#     nbhelpers predict runs/talks texts.csv -o found.csv
#     nbhelpers serve runs/talks
#
# The service answers with positions, and its page marks them in the text. If you have no tagged file yet, annotate two
# hundred sentences with any tool that writes CoNLL or JSON lines, train, and correct what the model finds in the next
# two hundred: that is usually faster than starting from nothing. Do so for train only, because people tend to accept
# what a model proposes. Have some sentences tagged by two people. Where they disagree, your rules are not clear yet.
#
# ## Exercises
#
# A wrong answer gets a hint, which grows with each try.
#
# **1.** Convert a position for JavaScript. You get a text and a position in it, counted in Python's characters. Return
# the position in units of UTF-16.


# %%
def to_javascript(text, position):
    return None  # your code


check("12-utf16", to_javascript)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def to_javascript(text, position):
#     return len(text[:position].encode("utf-16-le")) // 2
# ```
# </details>
#
# **2.** Which type has the lowest F1 in the section "Count entities, not words"? Read ten of its errors, and say
# whether the model, the gold tags or the rules of the corpus are to blame.
#
# **3.** Set `encoder` to a cased one that you have, such as "roberta-base", and run the lesson again. What happens to
# the three kinds of sentences?
#
# ## Quiz
#
# Three questions on this lesson:

# %%
quiz("12-token-f1")
quiz("12-strict")
quiz("12-windows")

# %% [markdown]
# ## Recap
#
# - Know the scheme of a file, check it, and convert it to IOB2 when you read it.
# - One label for each word, whatever its pieces are. Long texts are read in overlapping windows, so that no word is
#   dropped.
# - Report precision, recall and F1 of whole entities, per type. Say that the mode is strict, and pass the scheme.
# - Constrained decoding costs almost nothing and gives valid tags. How much F1 it adds depends on the model.
# - Score sentences in capitals and in lower case separately. Their scores can differ much.
# - Give positions in the raw text, and say in which unit.
#
# Next: [lesson 13](13_inside_roberta.ipynb) on tokenizers and pretraining, and
# [`docs/own_data.md`](../docs/own_data.md) on your own data. The last cell has the number that `nbhelpers run` shows
# for this lesson: the F1 of entities on test, in percent.

# %%
headline("entity F1 on test (%)", 100 * tagging.entity_f1(gold["test"], predicted))
