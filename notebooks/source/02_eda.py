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
# After this lesson you can
#
# - read a labeled corpus so that every error in it is reported and no row is silently dropped,
# - see how its classes, text lengths, dialogues and speakers will affect a model,
# - find out what the splits have in common, and measure what "cleaning" the text costs.
#
# <!-- facts -->
# Measured: default profile 11 s, 0.7 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# The task of the next lessons is *emotion recognition in conversation*. A dialogue consists of *turns*: what one person
# says before the next one speaks. Which of seven emotions does a turn show?
#
# The research data set for this task is MELD ([Poria et al. 2019](https://arxiv.org/abs/1810.02508)), 13,708 turns from
# a television series. Its license is GPL-3.0, but the dialogues themselves belong to the owners of the series, so MELD
# is not part of this course. The lessons start with dialogues that were written for them, in the same format.
# `nbhelpers run --profile meld` runs the same cells on MELD.
#
# The setup cell does nothing if the course is already installed.

# %% Setup
try:
    from nbhelpers import environment
except ImportError:  # on Colab or Kaggle, after:  !git clone <the address of this course> nbhelpers
    from runpy import run_path

    run_path("nbhelpers/notebooks/colab.py")

# %%
import tempfile
import time

import datasets
import pandas as pd

from nbhelpers import batching, cleaning, corpora, encoders, plots
from nbhelpers.course.lesson import check, diagrams, headline, load_splits, quiz

datasets.disable_progress_bars()  # they are widgets, which a saved notebook cannot show

# %% [markdown]
# This is how a text becomes probabilities. The lesson is about the blue part:

# %%
diagrams.path(["text", "tokens"])

# %% [markdown]
# What can be set in this lesson:

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
# Errors in the data should show up when it is loaded, not after training. `corpora.load` refuses an unknown label, a
# missing column, a turn that occurs twice, and a wrong encoding. This file has a misspelled label:

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "reviews.csv")
    path.write_text("text,label\nGood.,positive\nVery good.,postive\nBad.,negative\n")
    try:
        corpora.load(path, labels=["negative", "positive"])
    except corpora.CorpusError as error:
        print("CorpusError:", error)

# %% [markdown]
# Loading stops. The message names the file and the row, and says what to do. Now load the corpus of this lesson with
# `load_splits`. It calls `corpora.load`, gives the column of the labels the name *label*, and makes the splits that are
# missing. Look at the first row:

# %%
columns = {"text": text, "label": label, "dialogue": dialogue, "speaker": speaker}
data = load_splits(corpus, seed=seed, **columns)
data["train"][0]

# %% [markdown]
# The corpus has three splits: *train* to learn from, *dev* to make choices, and *test* for the final score. A table
# describes all three:

# %%
corpora.describe(data)

# %% [markdown]
# The last rows show what was changed while loading, for instance curly quotes that became straight ones. Every such
# change is counted.
#
# *label* is a number with a name (`ClassLabel`). The order of the names is defined in one place, and that matters.
# The class weights in MELD's own README are in another order than its label map (declare-lab/MELD, issue 51). Whoever
# copies them gives a class the weight of another class.
#
# ## Classes
#
# How many texts does each class have? (In dialogues, a text is a turn.)

# %%
names = data["train"].features["label"].names
frames = {split: part.to_pandas() for split, part in data.items()}
counts = pd.DataFrame({split: frame["label"].value_counts() for split, frame in frames.items()})
counts = counts.reindex(range(len(names))).fillna(0).set_axis(names).astype(int)
plots.label_distribution(counts.sort_values("train", ascending=False))

# %% [markdown]
# In the dialogues of the course, more than two in five turns are neutral. A model that always predicts "neutral" is
# right that often, and it is useless. So accuracy alone is not enough.
#
# Take the class joy. *Precision* is the share of real joy among the turns that a model calls joy. *Recall* is the share
# of the joyful turns that it finds. *F1* is the harmonic mean of the two. The course reports **weighted F1**, the usual
# score for MELD, which weights each class by its number of turns. Beside it stands **macro F1**, which gives all
# classes the same weight and so shows whether rare classes such as fear and disgust are found at all.
#
# ## Lengths, and what padding costs
#
# A batch is a rectangular tensor, so shorter texts are filled up with padding tokens:

# %%
diagrams.padding()

# %% [markdown]
# Many tutorials pad every text to 128 tokens. How long are the texts here?

# %%
tokenizer, _ = encoders.load(encoder, names)
train = frames["train"]
examples = batching.tokenize(train["text"].tolist(), tokenizer)
lengths = [len(example["input_ids"]) for example in examples]
plots.length_histogram(lengths, padded_to=128, max_tokens=4096)

# %% [markdown]
# The line below the picture says how much of the computation would go into padding.
#
# The next cell compares three ways to make batches. A batch has at most 32 texts and at most 4,096 tokens, padding
# included. For short texts only the first limit matters.

# %%
sampler = batching.TokenBudgetSampler(lengths, max_tokens=4096, batch_size=32, seed=seed)
batches_in_file_order = [range(start, min(start + 32, len(lengths))) for start in range(0, len(lengths), 32)]
padding_shares = {
    "every text padded to 128": batching.padding_share(lengths, padded_to=128),
    "32 texts in file order, padded to the longest": batching.padding_share(lengths, batches_in_file_order),
    "32 texts of similar length, padded to the longest": batching.padding_share(lengths, list(sampler)),
}
pd.Series({way: f"{100 * share:.1f} %" for way, share in padding_shares.items()}, name="padding").to_frame()

# %% [markdown]
# The model processes padding like any other token. Batches of similar length have almost none; this is what
# `batching.TokenBudgetSampler` makes. Lesson 3 measures in seconds what padding to 128 costs.
#
# ## Dialogues and speakers
#
# How many turns and speakers does a dialogue have? If your corpus has no dialogues with speakers, this section shows
# those that were written for the course:

# %%
has_dialogues = {"dialogue_id", "speaker"} <= set(train)
talks = data if has_dialogues else load_splits("dialogues")
if not has_dialogues:
    print(f"{corpus} has no dialogues with speakers; this section shows those of the course")
emotions = talks["train"].features["label"].names
turns = talks["train"].to_pandas()
sizes = turns.groupby("dialogue_id").agg(turns=("text", "size"), speakers=("speaker", "nunique"))
sizes.describe().loc[["count", "mean", "min", "50%", "max"]].round(1)

# %% [markdown]
# *50%* is the median: half of the dialogues are longer, half are shorter.
#
# The next cell draws one dialogue. Among those of up to 14 turns it has the largest number of different labels, so it
# is not a typical one:

# %%
short = sizes[sizes["turns"] <= max(14, sizes["turns"].min())].index
num_labels = turns[turns["dialogue_id"].isin(short)].groupby("dialogue_id")["label"].nunique()
scene = turns[turns["dialogue_id"] == num_labels.idxmax()]
plots.timeline(scene["speaker"].tolist(), [emotions[i] for i in scene["label"]], scene["text"].tolist(), emotions)

# %% [markdown]
# Cover the labels. Read the short turns alone, and then together with the turns around them. Which emotions would you
# have missed? An encoder that sees one turn at a time has to guess them.
#
# Does the previous emotion help to guess? Count which emotion follows which. Each line of the map is the emotion of a
# turn, each column that of the next turn:

# %%
next_label = turns.groupby("dialogue_id")["label"].shift(-1)
pairs = pd.crosstab(turns["label"], next_label).reindex(index=range(len(emotions)), columns=range(len(emotions)))
pairs = pairs.fillna(0).astype(int).set_axis(emotions).set_axis(emotions, axis=1)
plots.transitions(pairs)

# %% [markdown]
# If turns did not depend on each other, the lines of the map would differ only by chance (most of all those with few
# pairs). How often would the next turn then have the same emotion?

# %%
total = pairs.to_numpy().sum()
observed = pairs.to_numpy().trace() / total
expected = (pairs.sum(axis=1) * pairs.sum()).sum() / total**2
print(f"same label in the next turn: {100 * observed:.1f} %; expected without dependence: {100 * expected:.1f} %")

# %% [markdown]
# In the dialogues of the course, neighboring turns share an emotion more often than chance would explain. How much a
# model gains from this beyond the words of the turn itself is another question; lesson 6 measures it.
#
# ## What leaks between the splits
#
# A test score shows how well a model generalizes only if the test set differs from the training data. If it does not,
# one speaks of *data leakage*. So ask three questions: do the same texts occur in both, the same dialogues, the same
# people?

# %%
overlap = {}
for split in ("dev", "test"):
    frame = frames[split]
    in_train = frame["text"].isin(train["text"])
    overlap[split] = {"texts that occur in train, %": 100 * in_train.mean()}
    overlap[split]["of these, words on average"] = frame["text"][in_train].str.split().str.len().mean()
    if has_dialogues:
        dialogues, known = (part.groupby("dialogue_id")["text"].agg(tuple) for part in (frame, train))
        overlap[split]["dialogues that occur in train"] = dialogues.isin(known).sum()
        same_speaker = frame["speaker"].isin(train["speaker"])
        overlap[split]["turns whose speaker's name occurs in train, %"] = 100 * same_speaker.mean()
pd.DataFrame(overlap).round(1)

# %% [markdown]
# On MELD, this table shows that about one test text in eight occurs in train word for word, that one whole test
# dialogue does, and that most test turns are said by speakers who are also in train. A score on MELD tells how well a
# model reads *the same people again*. It says little about people the model has never seen. In the dialogues written
# for this course, no dialogue is repeated, and no text of more than four words. But the same characters appear in all
# splits.
#
# Do repeated texts at least have the same label each time? For each repeated text, take its most frequent label, and
# count how many of its turns have that label:

# %%
repeated = train[train.duplicated("text", keep=False)]
print(f"{len(repeated)} rows of train have a text that occurs more than once")
if len(repeated):
    most_frequent = repeated.groupby("text")["label"].agg(lambda labels: labels.value_counts().iloc[0])
    print(f"the most frequent label of each text covers {100 * most_frequent.sum() / len(repeated):.0f} % of them")

# %% [markdown]
# On these rows, a model that sees only the text cannot be right more often than that. In dialogues, the turns before
# can make the difference.
#
# ## What goes wrong: cleaning the text
#
# Many tutorials start with cleaning: they convert everything to lower case, remove punctuation and remove digits. The
# habit comes from the time of *bags of words*, models that only count words. But in spoken language, punctuation can
# show emotion. The next cell trains the same bag-of-words classifier on differently cleaned texts and scores it on dev.
# Changes are in points: from 0.50 to 0.51 is one point. *emptied* counts the texts of which nothing is left.

# %%
dev = frames["dev"]
cost = cleaning.cost(train["text"].tolist(), train["label"].tolist(), dev["text"].tolist(), dev["label"].tolist())
cost.round(3)

# %%
weighted, macro = cost.loc["all three", ["weighted_change", "macro_change"]]
print(f"All three steps together change weighted F1 by {weighted:+.1f} points, macro F1 by {macro:+.1f}.")

# %% [markdown]
# On the dialogues of the course, removing punctuation costs most: for this classifier, a punctuation mark is a word of
# its own. Lower case makes one word of "Oh" and "oh" and changes little. Before you clean texts for your encoder,
# repeat the comparison with it.
#
# ## A corpus without dialogues
#
# The second corpus of the course has product reviews, without speakers and without turns before or after. The same
# questions apply: which classes, how long, what do the splits share?

# %%
reviews = corpora.load("reviews")
review_frames = {split: part.to_pandas() for split, part in reviews.items()}
classes = reviews["train"].features["label"].names
counts = pd.DataFrame({split: frame["label"].value_counts() for split, frame in review_frames.items()})
plots.label_distribution(counts.sort_index().set_axis(classes))

# %%
review_examples = batching.tokenize(review_frames["train"]["text"].tolist(), tokenizer)
review_lengths = [len(example["input_ids"]) for example in review_examples]
plots.length_histogram(review_lengths, padded_to=128, max_tokens=4096)

# %%
train_texts = review_frames["train"]["text"]
shared = {split: review_frames[split]["text"].isin(train_texts).sum() for split in ("dev", "test")}
print(f"review texts that occur in train: {shared['dev']} of dev, {shared['test']} of test")

# %% [markdown]
# There are two large classes and a small one, and a text has several sentences. Padding to 128 wastes less here. But
# cutting at 128 tokens would lose the end of some reviews, where the writer often gives the verdict.
#
# ## Why `datasets` and not csv files
#
# A CSV file does not store the types of its columns, so the names of the classes are lost. And to read one column or
# the last row, the whole file must be parsed. A saved `Dataset` keeps the types and reads from the disk only what you
# ask for. With a corpus of this size the speed does not matter, so the next cells use 200,000 rows:


# %%
def milliseconds(read):
    start = time.perf_counter()
    read()
    return round(1000 * (time.perf_counter() - start), 1)


# %%
with tempfile.TemporaryDirectory() as folder:
    csv, saved = f"{folder}/turns.csv", f"{folder}/turns"
    many_rows = datasets.concatenate_datasets([data["train"]] * (1 + 200_000 // len(train)))
    many_rows.to_csv(csv, index=False)
    many_rows.save_to_disk(saved)
    times = {
        "csv: the last row": milliseconds(lambda: pd.read_csv(csv).iloc[-1]),
        "data set: the last row": milliseconds(lambda: datasets.load_from_disk(saved)[-1]),
        "csv: all labels": milliseconds(lambda: pd.read_csv(csv, usecols=["label"])),
        "data set: all labels": milliseconds(lambda: datasets.load_from_disk(saved)["label"][:]),
    }
pd.Series(times, name="milliseconds").to_frame()

# %% [markdown]
# Compare the two rows for each task.
#
# ## Exercises
#
# Write your answer, and run the cell. A wrong answer gets a hint, which grows with each try.
#
# **1.** Write the measure of padding yourself. The function takes the lengths of the texts of one batch, for instance
# `[3, 9]`. All texts are padded to the longest one. Return the share of padding in the batch, here one third.


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
# **2.** Which accuracy does a model have that always predicts the most frequent label? `labels` are the gold labels,
# for instance `["joy", "neutral", "neutral"]`.


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
# **3.** How many texts of `test` occur in `train`? Ignore the difference between capital and small letters, and spaces
# at the beginning and the end. A text that test has twice counts twice.


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
# ## Quiz
#
# Three questions on this lesson. Each choice has an explanation.

# %%
quiz("02-accuracy")
quiz("02-padding")
quiz("02-leak")

# %% [markdown]
# ## Recap
#
# - Classes differ in size, so look at weighted *and* macro F1, and at each class.
# - Turns are short, so padding to a fixed length wastes most of the computation.
# - Neighboring turns depend on each other: the transitions show it. Repeated texts with different labels show that one
#   turn alone does not always tell the emotion.
# - Know what your splits share before you trust a score, and do not remove useful information by cleaning.
#
# Next: [3. An honest baseline](03_baseline.ipynb). The last cell gives the number that `nbhelpers run` shows for this
# lesson in its table.

# %%
headline("padding to 128 wastes, %", 100 * padding_shares["every text padded to 128"])
