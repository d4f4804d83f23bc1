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
# # 2. Look at the data
#
# "No." Is the person who says this angry, sad or afraid? In the dialogues of this course, this text of one word occurs
# with six different labels. A model that sees only the word makes the same prediction each time, however well it is
# trained. You find such facts when you look at the data before you train.
#
# After this lesson you can
#
# - read a labeled corpus so that faulty rows are reported and none is silently dropped,
# - see how its classes, text lengths, dialogues and speakers will affect a model,
# - find out what the splits have in common, and measure what "cleaning" the text costs.
#
# You should know: pandas, and what an encoder is ([lesson 1](01_environment.ipynb)).
#
# <!-- facts -->
# Measured: default profile 11 s, 0.8 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | Load the corpus and check it | 1 |
# | The classes | 2 |
# | Tokens: what the model reads | 1 |
# | Batches and padding | 2 |
# | Dialogues and speakers | 1 |
# | What leaks between the splits | 1 |
# | What goes wrong | 1 |
# | Another corpus, the same questions | 1 |
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
# This is how a text becomes probabilities. The lesson is about the two blue steps:

# %%
from nbhelpers.course.lesson import check, diagrams, explore, headline, load_splits, quiz

diagrams.path(["text", "tokens"])

# %% [markdown]
# A *token* is a word, a piece of a word or a punctuation mark. The model knows each token by a number. Lessons 1 and 3
# explain the other steps.

# %%
import random
import tempfile
from pathlib import Path

import pandas as pd

from nbhelpers import batching, cleaning, corpora, encoders, metrics, plots

# %% [markdown]
# These are the settings. To look at your own data, write the path of your file into `corpus`, and run all cells again.

# %% cellView="form" tags=["parameters"]
# @markdown "dialogues" or "reviews" (included in the course), "meld", or a file or folder of your own.
corpus = "dialogues"  # @param {type: "string"}
# @markdown The column with the texts; if empty, it is found by its name or its content.
text = ""  # @param {type: "string"}
# @markdown The column with the labels; if empty, it is found by its name or its content.
label = ""  # @param {type: "string"}
# @markdown Of dialogues: the column with the name or number of the dialogue; if empty, it is found by its name.
dialogue = ""  # @param {type: "string"}
# @markdown Of dialogues: the column with the speaker of each turn; if empty, it is found by its name.
speaker = ""  # @param {type: "string"}
# @markdown The encoder whose tokenizer counts the tokens.
encoder = "embedded"  # @param {type: "string"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# ## Load the corpus and check it
#
# The task of the next lessons is *emotion recognition in conversation*. A *turn* is what one person says, usually until
# the next one speaks. Which of seven emotions does it show? A well-known data set is MELD ([Poria et al.
# 2019](https://arxiv.org/abs/1810.02508)), 13,708 turns from a television series. They belong to the owners of the
# series, so the course starts with dialogues in the same format, which a language model wrote and labeled.
#
# Errors in a *corpus*, a collection of texts, should show up when it is loaded, not after training. Can you find the
# mistake in this small file before the message names it?

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "reviews.csv")
    path.write_text("text,label\nGood.,positive\nVery good.,postive\nBad.,negative\n")
    try:
        corpora.load(path, labels=["negative", "positive"])
    except corpora.CorpusError as error:
        print("CorpusError:", error)

# %% [markdown]
# The header is row 1. Without `labels=`, the misspelled word would have become a third class. Now load the corpus of
# this lesson in three *splits*: *train* to learn from, *dev* to make choices with, and *test* for the final score. The
# first row:

# %%
data = load_splits(corpus, seed=seed, text=text, label=label, dialogue=dialogue, speaker=speaker)
data["train"][0]

# %% [markdown]
# A model computes with numbers, so each label has one: 0 is the first in the next table. (`sentiment` is not used
# here.) Look for classes with few rows, and for texts that are empty or repeated (each copy after the first counts).
# Rows that start with *normalized* count texts that loading changed, such as curly quotes.

# %%
corpora.describe(data)

# %% [markdown]
# ## The classes
#
# Read before you count. The cell starts with the rarest class, in the dialogues of the course disgust. Would you have
# given these texts this label? The slider shows others.

# %%
names = data["train"].features["label"].names
frames = {split: part.to_pandas() for split, part in data.items()}
train = frames["train"]
rarest = names[train["label"].value_counts().idxmin()]


def texts_of(label_name=rarest, sample=1):
    texts = train.loc[train["label"] == names.index(label_name), "text"]
    chosen = texts.sample(min(6, len(texts)), random_state=sample)
    return "\n".join(f"{i}. {text}" for i, text in enumerate(chosen, start=1))


explore(texts_of, label_name=names, sample=(1, 20))

# %% [markdown]
# *Class weights* make mistakes on rare classes count more. MELD's README lists them in another order than its label
# numbers ([issue 51](https://github.com/declare-lab/MELD/issues/51)), so whoever copies them weights the wrong classes.
# Take the order from the data set, as `names` does, and never from a list that you type.
#
# How large is the largest class, and do the splits differ? Percentages are compared in *points*: from 50 % to 51 % is
# one point.

# %%
counts = pd.DataFrame({split: frame["label"].value_counts() for split, frame in frames.items()})
counts = counts.reindex(range(len(names))).fillna(0).set_axis(names).astype(int)
plots.label_distribution(counts.sort_values("train", ascending=False))

# %% [markdown]
# ### Exercise: the majority class
#
# Compute the *accuracy* (the share of correct predictions) of a model that always predicts the most frequent label.
# `labels` are the correct ones, for instance `["joy", "neutral", "neutral"]`. Each wrong answer gets a further hint.
# Then call your function with `train["label"]`, and compare the result with the picture.


# %%
def majority_accuracy(labels):
    return None  # your code


check("02-majority", majority_accuracy)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# from collections import Counter
#
#
# def majority_accuracy(labels):
#     return max(Counter(labels).values()) / len(labels)
# ```
# </details>
#
# ### Three scores
#
# Accuracy makes such a model look better than it is. Suppose a model predicts joy for ten turns, and six of them are
# joyful: its *precision* for joy is 60 %. If there are twelve joyful turns in all, its *recall* is 50 %. *F1* is the
# harmonic mean of the two, 2 · 60 · 50 / (60 + 50) = 54.5 %.
#
# **Weighted F1** is the mean of the F1 of all classes, weighted by their numbers of rows. It is the usual score for
# MELD and the main score of this course. **Macro F1** gives all classes the same weight, so it shows whether rare ones
# are found at all. Here are the scores of the model that always predicts the largest class:

# %%
gold = frames["dev"]["label"]
always_the_same = [counts["train"].argmax()] * len(gold)
scores = pd.Series(metrics.scores(gold, always_the_same, len(names)), name="percent")
(100 * scores).round(1).set_axis(["accuracy", "weighted F1", "macro F1"]).to_frame()

# %% [markdown]
# Macro F1 is low, because F1 is 0 for each class that is never predicted.
#
# ## Tokens: what the model reads
#
# A *tokenizer* cuts a text into tokens and gives each its number in a fixed *vocabulary*. Type a sentence, and press
# Enter:

# %%
tokenizer, _ = encoders.load(encoder, names)


def tokens_of(sentence="Ugh, you ate my yogurt AGAIN? 🙄"):
    ids = tokenizer(sentence)["input_ids"]
    return pd.DataFrame([tokenizer.convert_ids_to_tokens(ids), ids], index=["token", "number"])


explore(tokens_of, sentence="Ugh, you ate my yogurt AGAIN? 🙄")

# %% [markdown]
# The first and the last token mark the beginning and the end. What else to see:
#
# - Rare words are cut into pieces. In tokenizers like BERT's, `##` means that the piece continues a word; in those like
#   RoBERTa's, `Ġ` means that a space comes before it.
# - The embedded encoder knows only lower case: "AGAIN" and "again" are the same token. RoBERTa tells them apart.
# - `[UNK]` (unknown) replaces what is not in the vocabulary, such as many emoji. RoBERTa can write any character as
#   bytes.
#
# How many tokens do the texts have? The embedded encoder and RoBERTa read up to 512. The next section explains padding.

# %%
examples = batching.tokenize(train["text"].tolist(), tokenizer)
lengths = [len(example["input_ids"]) for example in examples]
plots.length_histogram(lengths, padded_to=128)

# %% [markdown]
# ## Batches and padding
#
# A model is trained on a *batch* of texts at a time. A batch is a rectangle of numbers, so shorter texts are filled up
# with *padding*. The *attention mask* tells the model to ignore it:

# %%
diagrams.padding()

# %% [markdown]
# Padding is ignored, but it is computed all the same. How much there is depends on the order of the texts, on the
# length to which they are padded, and on the batch size. The slider *batch* shows ten of the batches, from the first to
# the last. Which settings have the least padding and cut no text?

# %%
orders = {"random": random.Random(seed).sample(lengths, len(lengths)), "by length": sorted(lengths)}
widths = {"the longest text of the batch": 0, "16 tokens": 16, "32 tokens": 32, "64 tokens": 64, "128 tokens": 128}


def batch_of(order="random", padded_to=0, batch_size=16, batch=5):
    texts = orders[order]
    batches = [texts[i : i + batch_size] for i in range(0, len(texts), batch_size)]
    num_processed = sum(len(each) * (padded_to or max(each)) for each in batches)
    padding_share = 1 - sum(min(length, padded_to or length) for length in texts) / num_processed
    num_cut = sum(length > padded_to > 0 for length in texts)
    chosen = batches[(batch - 1) * (len(batches) - 1) // 9]
    total = f"All {len(batches):,} batches: {100 * padding_share:.1f} % padding, {num_cut:,} texts cut."
    return [plots.batch_shape(chosen, padded_to or None), total]


explore(batch_of, order=list(orders), padded_to=widths, batch_size=(4, 32, 4), batch=(1, 10))

# %% [markdown]
# Sorted by length and padded to the longest, the texts need almost no padding. In training, such batches come in random
# order, so that the model does not see all short texts first.
#
# ### Exercise: the share of padding
#
# The function takes the lengths of the texts of one batch, for instance `[3, 9]`. Return the share of padding if all
# are padded to the longest, here one third.


# %%
def padding(lengths):
    return None  # your code


check("02-padding", padding)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def padding(lengths):
#     return 1 - sum(lengths) / (len(lengths) * max(lengths))
# ```
# </details>
#
# ### Exercise: predict what happens
#
# The order is random, each batch is padded to its longest text, and you raise the batch size from 4 to 32. What happens
# to the share of padding in all batches? Decide first, then check your answer, then move the slider.

# %%
share_of_padding = None  # "rises", "falls" or "stays"

check("02-batch-size", share_of_padding)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# share_of_padding = "rises"
# ```
# </details>
#
# ## Dialogues and speakers
#
# How long are the dialogues? If your corpus has none with speakers, this section shows those of the course:

# %%
has_dialogues = {"dialogue_id", "speaker"} <= set(train)
talks = data if has_dialogues else load_splits("dialogues")
emotions, turns = talks["train"].features["label"].names, talks["train"].to_pandas()
sizes = turns.groupby("dialogue_id").agg(turns=("text", "size"), speakers=("speaker", "nunique"))
sizes.describe().loc[["min", "50%", "max"]].set_axis(["fewest in a dialogue", "median", "most"]).astype(int)

# %% [markdown]
# Here is one with many different labels, so it is not typical; the slider shows others. Read a short turn first alone,
# then with the turns before it. Which emotions would you have missed?

# %%
short = turns[turns["dialogue_id"].isin(sizes.index[sizes["turns"] <= max(14, sizes["turns"].min())])]
by_variety = short.groupby("dialogue_id")["label"].nunique().sort_values(ascending=False, kind="stable").index


def scene(number=1):
    said = short[short["dialogue_id"] == by_variety[number - 1]]
    labels = [emotions[i] for i in said["label"]]
    return plots.timeline(said["speaker"].tolist(), labels, said["text"].tolist(), emotions)


explore(scene, number=(1, len(by_variety)))

# %% [markdown]
# Does the emotion of a turn help to guess the next one? In the map, each line is the emotion of a turn, and each column
# that of the next turn. If it did not help, all lines would look about the same.

# %%
next_label = turns.groupby("dialogue_id")["label"].shift(-1)
pairs = pd.crosstab(turns["label"], next_label).reindex(index=range(len(emotions)), columns=range(len(emotions)))
pairs = pairs.fillna(0).astype(int).set_axis(emotions).set_axis(emotions, axis=1)
plots.transitions(pairs)

# %% [markdown]
# On the diagonal, the emotion stays the same. Is that more than chance? If turns were independent, the share of pairs
# with joy twice would be the share of joy in this turn times that in the next one. `expected` adds this up for all
# emotions.

# %%
total = pairs.to_numpy().sum()
observed = pairs.to_numpy().trace() / total
expected = (pairs.sum(axis=1) * pairs.sum()).sum() / total**2
print(f"same label in the next turn: {100 * observed:.1f} %; expected without dependence: {100 * expected:.1f} %")

# %% [markdown]
# If the first number is clearly larger, a turn says something about the next one. [Lesson 6](06_meld_context.ipynb)
# measures whether a model gains from this.
#
# ## What leaks between the splits
#
# If parts of test are also in train, its score can be higher than on new texts. This is called *data leakage*. Does
# test have texts, dialogues or people of train?

# %%
shared = {}
for split in ("dev", "test"):
    frame = frames[split]
    in_train = frame["text"].isin(train["text"])
    shared[split] = {"texts that occur in train, %": 100 * in_train.mean()}
    shared[split]["words in these texts, mean"] = frame["text"][in_train].str.split().str.len().mean()
    if has_dialogues:
        dialogues, known = (part.groupby("dialogue_id")["text"].agg(tuple) for part in (frame, train))
        shared[split]["dialogues that occur in train"] = dialogues.isin(known).sum()
        known_speaker = frame["speaker"].isin(train["speaker"])
        shared[split]["turns by a speaker whose name occurs in train, %"] = 100 * known_speaker.mean()
pd.DataFrame(shared).round(1)

# %% [markdown]
# Shared texts of a word or two ("Yeah.") are natural in conversation. Long ones or whole dialogues are a reason to
# split again. In the dialogues of the course, the same name can mean different people. In MELD, about one test text in
# eight is in train word for word, and six people say most of the turns, so a score says little about other people.
#
# Do the copies of a text always have the same label?

# %%
repeated = train[train.duplicated("text", keep=False)]
num_copies = len(repeated) - repeated["text"].nunique()
print(f"{len(repeated)} rows of train have a text that occurs more than once; {num_copies} of them are copies.")
if len(repeated):
    most_frequent = repeated.groupby("text")["label"].agg(lambda labels: labels.value_counts().iloc[0])
    print(f"The most frequent label of each text covers {100 * most_frequent.sum() / len(repeated):.0f} % of the rows.")

# %% [markdown]
# A model that sees only the text cannot be right on more of these rows. Which text has the most different labels? In
# the dialogues of the course, it is "No." Type another, such as "Yeah.":

# %%
most_labels = train.groupby("text")["label"].nunique().idxmax()


def labels_of(sentence=most_labels):
    found = train.loc[train["text"] == sentence.strip(), "label"].value_counts()
    return found.rename(lambda i: names[i]).rename("rows of train").to_frame() if len(found) else "not in train"


explore(labels_of, sentence=most_labels)

# %% [markdown]
# ### Exercise: shared texts
#
# How many texts of `test` occur in `train`, if case and spaces around the text do not matter? A text that test has
# twice counts twice. Then try `num_shared(frames["test"]["text"], train["text"])`.


# %%
def num_shared(test, train):
    return None  # your code


check("02-shared", num_shared)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def num_shared(test, train):
#     known = {text.strip().lower() for text in train}
#     return sum(text.strip().lower() in known for text in test)
# ```
# </details>
#
# ## What goes wrong
#
# ### Padding every text to 128 tokens
#
# Many tutorials call the tokenizer with `padding="max_length", max_length=128`. Compare this with batches of 32 texts.
# `TokenBudgetSampler` makes batches of similar length; `max_tokens` limits the tokens of a batch, so that long texts do
# not exhaust the memory.

# %%
in_random_order = [orders["random"][start : start + 32] for start in range(0, len(lengths), 32)]
num_processed = sum(len(batch) * max(batch) for batch in in_random_order)
sampler = batching.TokenBudgetSampler(lengths, max_tokens=4096, batch_size=32, seed=seed)
padding_shares = {
    "every text padded to 128": batching.padding_share([min(length, 128) for length in lengths], padded_to=128),
    "random order, padded to the longest of the batch": 1 - sum(lengths) / num_processed,
    "similar length, padded to the longest of the batch": batching.padding_share(lengths, list(sampler)),
}
pd.Series({way: f"{100 * share:.1f} %" for way, share in padding_shares.items()}, name="padding").to_frame()

# %% [markdown]
# [Lesson 3](03_baseline.ipynb) measures how much time such padding takes.
#
# ### Cleaning the text first
#
# Many tutorials convert texts to lower case and remove punctuation and digits. The habit comes from *bag-of-words*
# models, which only count words. But "What?!" and "What." do not say the same. The next cell trains such a classifier,
# which also counts punctuation marks and pairs, on differently cleaned texts, and scores it on dev:

# %%
dev = frames["dev"]
cost = cleaning.cost(train["text"].tolist(), train["label"].tolist(), dev["text"].tolist(), dev["label"].tolist())
table = cost[["weighted_f1", "weighted_change", "macro_f1", "macro_change"]].copy()
table[["weighted_f1", "macro_f1"]] *= 100
table.columns = ["weighted F1, %", "change, points", "macro F1, %", "change, points"]
table.rename_axis(None).round(1)

# %% [markdown]
# A step that clearly lowers the score removed something that helps to predict the labels; in the dialogues of the
# course, the punctuation. A change of a point or less can be chance; lesson 3 shows how to test this. Before you clean
# texts for an encoder, repeat the comparison with it.
#
# ## Another corpus, the same questions
#
# The course also has product reviews. Would you pad and split them in the same way?


# %%
def key_facts(splits):
    texts, in_test = splits["train"]["text"][:], splits["test"]["text"][:]
    sizes = pd.Series([len(example["input_ids"]) for example in batching.tokenize(texts, tokenizer)])
    return {
        "largest class, % of train": 100 * pd.Series(splits["train"]["label"]).value_counts(normalize=True).max(),
        "tokens, median": sizes.median(),
        "padding if all are padded to 128, %": 100 * (1 - sizes.clip(upper=128).mean() / 128),
        "texts of more than 128 tokens, %": 100 * (sizes > 128).mean(),
        "test texts that occur in train, %": 100 * pd.Series(in_test).isin(texts).mean(),
    }


other = "dialogues" if corpus == "reviews" else "reviews"
pd.DataFrame({"this corpus": key_facts(data), other: key_facts(load_splits(other))}).round(1)

# %% [markdown]
# Where texts are longer, padding to 128 wastes less, but some texts lose their end.
#
# ## Quiz
#
# Each choice has an explanation.

# %%
quiz("02-accuracy")
quiz("02-padding")
quiz("02-leak")

# %% [markdown]
# ## Recap
#
# - Stop at errors when you load data, and read texts of each class before you count them.
# - Classes differ in size, so look at weighted *and* macro F1.
# - Put texts of similar length into a batch, and pad only to the longest.
# - If a text occurs with different labels, the text alone does not tell the emotion.
# - Know what your splits share before you trust a score, and measure what cleaning costs.
#
# Next: [3. An honest baseline](03_baseline.ipynb). The last cell gives the number that `nbhelpers run` shows for this
# lesson.

# %%
headline("padding to 128 wastes, %", 100 * padding_shares["every text padded to 128"])
