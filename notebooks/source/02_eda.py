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
# - read a labelled corpus with every fault reported instead of dropped,
# - see what its classes, lengths, dialogues and speakers will do to a model,
# - find what leaks between the splits, and measure what "cleaning" text costs.
#
# <!-- facts -->
# Measured: default profile 11 s, 0.7 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# The task of the next lessons is emotion recognition in conversation: which of seven emotions does a turn of a dialogue
# show? The research set for it is MELD ([Poria et al. 2019](https://arxiv.org/abs/1810.02508)), 13,708 turns from a
# television series. It may not be passed on with a course under a free licence, so the lessons start with dialogues
# written for them, in the same format; `nbhelpers run --profile meld` runs the same cells on MELD.
#
# The setup cell does nothing where the course is installed.

# %% Setup
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

try:
    from nbhelpers import environment
except ImportError:  # on Colab or Kaggle, after:  !git clone <the address of this course> nbhelpers
    folders = [Path("nbhelpers"), Path(), Path("..")]
    checkout = next((folder.resolve() for folder in folders if (folder / "pyproject.toml").exists()), None)
    assert checkout, "first get the course:  !git clone <the address of this course> nbhelpers"
    Path("keep.txt").write_text(f"torch=={version('torch')}\nnumpy=={version('numpy')}\n")
    pip = [sys.executable, "-m", "pip", "install", "-q", "-c", "keep.txt", "-e", f"{checkout}[embedded,deploy]"]
    subprocess.check_call(pip)
    sys.modules.pop("nbhelpers", None)
    sys.path.insert(0, str(checkout))

# %%
import tempfile
import time

import datasets
import pandas as pd

from nbhelpers import batching, cleaning, corpora, encoders, plots
from nbhelpers.course.exercises import check
from nbhelpers.course.headline import headline

datasets.disable_progress_bars()  # they are widgets, which a saved notebook cannot show

# %% cellView="form" tags=["parameters"]
# @markdown "dialogues" (come with the course), "meld" (downloaded when missing), or a folder in MELD's format.
corpus = "dialogues"  # @param {type: "string"}
# @markdown The encoder whose tokens are counted.
encoder = "embedded"  # @param {type: "string"}
# @markdown The number that random choices start from.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# ## Read it, and see what was wrong with it
#
# Reading is where faults should surface. `corpora.load` refuses an unknown label, a missing column, a turn that occurs
# twice or a wrong encoding. Here is a file with a typing error in a label:

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "reviews.csv")
    path.write_text("text,label\nGood.,positive\nVery good.,postive\nBad.,negative\n")
    try:
        corpora.load(path, labels=["negative", "positive"])
    except corpora.CorpusError as error:
        print("CorpusError:", error)

# %% [markdown]
# It stops, and names file, row and remedy. Now the corpus of this lesson:

# %%
data = corpora.load(corpus)
data["train"][0]

# %%
corpora.describe(data)

# %% [markdown]
# The last rows tell what reading changed (curly quotes to straight ones, for instance): repairs are counted, never
# silent.
#
# *emotion* is a number with names attached (`ClassLabel`), in one order that the course fixes once. That matters: the
# class weights printed in MELD's own README stand in another order than its label map (declare-lab/MELD, issue 51), and
# whoever pastes them gives the weight of one class to another.
#
# ## Classes

# %%
names = data["train"].features["emotion"].names
turns = {split: part.to_pandas() for split, part in data.items()}
counts = pd.DataFrame({split: frame["emotion"].value_counts() for split, frame in turns.items()}).fillna(0)
counts = counts.sort_index().set_axis(names).astype(int)
plots.label_distribution(counts.sort_values("train", ascending=False))

# %% [markdown]
# More than two in five turns are neutral. A model that always says "neutral" is right that often, and useless. So
# accuracy alone will not do.
#
# Of the turns that a model calls joy, *precision* is the share that is joy; of the joyful turns, *recall* is the share
# that it finds; *F1* is their harmonic mean. The course reports **weighted F1** (classes count by their size; the usual
# score for MELD), and beside it **macro F1** (all classes count the same), which shows whether fear and disgust are
# found at all.
#
# ## Lengths, and what padding costs
#
# A batch is a rectangle: shorter texts are filled up. Many tutorials fill everything up to 128 tokens.

# %%
tokenizer, _ = encoders.load(encoder, names)
lengths = [len(example["input_ids"]) for example in batching.tokenize(turns["train"]["text"].tolist(), tokenizer)]
plots.length_histogram(lengths, padded_to=128, max_tokens=4096)

# %% [markdown]
# Three ways to form batches. A batch holds at most 32 texts, and at most 4,096 tokens with padding; for
# short texts only the first limit counts.

# %%
sampler = batching.TokenBudgetSampler(lengths, max_tokens=4096, batch_size=32, seed=seed)
in_order = [range(i, min(i + 32, len(lengths))) for i in range(0, len(lengths), 32)]
shares = {
    "every text padded to 128": batching.padding_share(lengths, padded_to=128),
    "32 texts in file order, padded to the longest": batching.padding_share(lengths, in_order),
    "32 texts of like length, padded to the longest": batching.padding_share(lengths, list(sampler)),
}
pd.Series({way: f"{100 * share:.1f} %" for way, share in shares.items()}, name="padding").to_frame()

# %% [markdown]
# The model computes over padding as if it were text. Batches of like length waste almost nothing; that is what
# `batching.TokenBudgetSampler` makes. Lesson 3 measures in seconds what padding to 128 costs.
#
# ## Dialogues and speakers
#
# A turn is said by somebody, to somebody, after something.

# %%
train = turns["train"]
sizes = train.groupby("dialogue_id").agg(turns=("text", "size"), speakers=("speaker", "nunique"))
sizes.describe().loc[["count", "mean", "min", "50%", "max"]].round(1)

# %% [markdown]
# *50%* is the median: half of the dialogues are longer, half shorter. This is the dialogue with the most emotions among
# those of 8 to 14 turns, so not a typical one:

# %%
medium = sizes[(sizes["turns"] >= 8) & (sizes["turns"] <= 14)].index
emotions = train[train["dialogue_id"].isin(medium)].groupby("dialogue_id")["emotion"].nunique()
scene = train[train["dialogue_id"] == emotions.idxmax()]
plots.timeline(scene["speaker"].tolist(), [names[i] for i in scene["emotion"]], scene["text"].tolist())

# %% [markdown]
# Cover the labels and read the short turns alone, then in their place. Which would you have missed? An encoder that
# sees one turn at a time has to guess there. Does the previous emotion help to guess?

# %%
following = train.groupby("dialogue_id")["emotion"].shift(-1)
pairs = pd.crosstab(train["emotion"], following).reindex(index=range(len(names)), columns=range(len(names)))
pairs = pairs.fillna(0).astype(int).set_axis(names).set_axis(names, axis=1)
plots.transitions(pairs)

# %% [markdown]
# If turns did not depend on each other, the lines of the map would differ by chance only (most where a line has few
# pairs). How often would the next turn then keep the emotion?

# %%
total = pairs.to_numpy().sum()
observed = pairs.to_numpy().trace() / total
expected = (pairs.sum(axis=1) * pairs.sum()).sum() / total**2
print(f"same emotion in the next turn: {100 * observed:.1f} %; expected without dependence: {100 * expected:.1f} %")

# %% [markdown]
# Neighbouring turns go together. How much of that a model can use beyond the turn's own words is another question;
# lesson 6 measures it.
#
# ## What leaks between the splits
#
# A test set measures generalisation only as far as it differs from what was trained on. Three questions: do the same
# texts occur, the same dialogues, the same people?

# %%
scripts = {split: frame.groupby("dialogue_id")["text"].agg(tuple) for split, frame in turns.items()}
audit = {}
for split in ("dev", "test"):
    known = turns[split]["text"].isin(train["text"])
    audit[split] = {
        "texts that occur in train, %": 100 * known.mean(),
        "of these, words on average": turns[split]["text"][known].str.split().str.len().mean(),
        "dialogues that occur in train": scripts[split].isin(scripts["train"]).sum(),
        "turns whose speaker's name occurs in train, %": 100 * turns[split]["speaker"].isin(train["speaker"]).mean(),
    }
pd.DataFrame(audit).round(1)

# %% [markdown]
# On MELD this table shows that about one test text in eight occurs in train word for word, that one whole test dialogue
# does, and that most turns are said by speakers of train. A MELD score says how well a model reads *these people
# again*; it does not promise much for strangers. In the dialogues written for this course no scene repeats and no text
# of more than four words, but the same characters come back.
#
# Are such repeated texts at least labelled the same? Count how often a repeated text has its most frequent label:

# %%
repeated = train[train.duplicated("text", keep=False)]
agreement = repeated.groupby("text")["emotion"].agg(lambda labels: labels.value_counts().iloc[0]).sum() / len(repeated)
print(
    f"{len(repeated)} training turns have a text that occurs more than once; "
    f"the commonest label of each text covers {100 * agreement:.0f} % of them."
)

# %% [markdown]
# On these turns, no model that sees only the text can be right more often. What was said before can tell them apart.
#
# ## What goes wrong: cleaning the text
#
# Lower-case everything, drop punctuation, drop digits: a habit from the time of bags of words, still the first step of
# many tutorials. In spoken emotion punctuation can carry the signal. This trains the same classifier, a bag of words,
# on differently cleaned texts and scores it on dev. Changes are in points; *emptied* counts texts of which nothing is
# left:

# %%
dev = turns["dev"]
cost = cleaning.cost(train["text"].tolist(), train["emotion"].tolist(), dev["text"].tolist(), dev["emotion"].tolist())
cost.round(3)

# %%
weighted, macro = cost.loc["all three", ["weighted_change", "macro_change"]]
print(f"All three steps together change weighted F1 by {weighted:+.1f} points, macro F1 by {macro:+.1f}.")

# %% [markdown]
# Dropping punctuation costs most: in this bag of words a mark is a word. Lower-casing makes one word of "Oh" and "oh"
# and changes little. For your encoder, repeat the comparison instead of cleaning by habit.
#
# ## A corpus without dialogues
#
# The course's second corpus holds product reviews: `text` and `label`, no speakers, nothing before or after. What
# applies to it is the same: its classes, its lengths, what its splits share.

# %%
reviews = corpora.load("reviews")
opinions = {split: part.to_pandas() for split, part in reviews.items()}
classes = reviews["train"].features["label"].names
counts = pd.DataFrame({split: frame["label"].value_counts() for split, frame in opinions.items()})
plots.label_distribution(counts.sort_index().set_axis(classes))

# %%
sizes = [len(example["input_ids"]) for example in batching.tokenize(opinions["train"]["text"].tolist(), tokenizer)]
plots.length_histogram(sizes, padded_to=128, max_tokens=4096)

# %%
shared = {split: opinions[split]["text"].isin(opinions["train"]["text"]).sum() for split in ("dev", "test")}
print(f"review texts that occur in train: {shared['dev']} of dev, {shared['test']} of test")

# %% [markdown]
# Two large classes and a small one; several sentences instead of single turns. Here padding to 128 wastes less, and
# cutting at 128 tokens would lose the end of some reviews, where the verdict often stands.
#
# ## Why `datasets` and not csv files
#
# A CSV file forgets what its columns were: the names of the classes are gone. And all of it must be parsed to get one
# column or the last row. A saved `Dataset` keeps the types and reads from the disk only what is asked for. At the size
# of this corpus the speed does not matter, so take 200,000 rows:


# %%
def milliseconds(action):
    start = time.perf_counter()
    action()
    return round(1000 * (time.perf_counter() - start), 1)


with tempfile.TemporaryDirectory() as folder:
    many = datasets.concatenate_datasets([data["train"]] * (1 + 200_000 // len(train)))
    many.to_csv(f"{folder}/turns.csv", index=False)
    many.save_to_disk(f"{folder}/turns")
    csv = f"{folder}/turns.csv"
    times = {
        "csv: the last row": milliseconds(lambda: pd.read_csv(csv).iloc[-1]),
        "data set: the last row": milliseconds(lambda: datasets.load_from_disk(f"{folder}/turns")[-1]),
        "csv: all labels": milliseconds(lambda: pd.read_csv(f"{folder}/turns.csv", usecols=["emotion"])),
        "data set: all labels": milliseconds(lambda: datasets.load_from_disk(f"{folder}/turns")["emotion"][:]),
    }
pd.Series(times, name="milliseconds").to_frame()

# %% [markdown]
# ## Exercise
#
# Write the measure yourself: a function that takes the lengths of the texts of one batch, for instance `[3, 9]`, and
# returns which share of the batch is padding when all are padded to the longest, here one third.


# %%
def padding(lengths):
    return None  # your code


check("padding", padding)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def padding(lengths):
#     return 1 - sum(lengths) / (len(lengths) * max(lengths))
# ```
# </details>
#
# ## Recap
#
# - More than two in five turns are neutral: look at weighted *and* macro F1, and at each class.
# - Turns are short: padding to a fixed length wastes most of the work.
# - Transitions show that neighbouring turns depend on each other; repeated texts with different labels, what one turn
#   alone cannot tell.
# - Know what your splits share before you believe a score, and do not clean away the signal.
#
# Next: [3. An honest baseline](03_baseline.ipynb). The value this lesson is known by in the course's table:

# %%
headline("padding to 128 wastes, %", 100 * shares["every text padded to 128"])
