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
# Minutes and memory: not measured yet.
# <!-- /facts -->
#
# The task of the next lessons is emotion recognition in conversation: which of seven emotions does a turn of a dialogue
# show? The research set for it is MELD ([Poria et al. 2019](https://arxiv.org/abs/1810.02508)), 13,708 turns from a
# television series. The lessons start with a small set of dialogues written for this course, in the same format;
# `nbhelpers run --profile meld` runs the same cells on MELD.

# %% Setup
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

try:
    from nbhelpers import environment
except ImportError:  # on Colab or Kaggle, after:  !git clone <the address of this course> nbhelpers
    checkout = next(p.resolve() for p in (Path("nbhelpers"), Path(), Path("..")) if (p / "pyproject.toml").exists())
    Path("keep.txt").write_text(f"torch=={version('torch')}\nnumpy=={version('numpy')}\n")
    pip = [sys.executable, "-m", "pip", "install", "-q", "-c", "keep.txt", "-e", f"{checkout}[embedded]"]
    subprocess.check_call(pip)
    sys.modules.pop("nbhelpers", None)
    sys.path.insert(0, str(checkout))

# %%
import time

import numpy as np
import pandas as pd
from datasets import Dataset

from nbhelpers import batching, cleaning, corpora, encoders, plots
from nbhelpers.course.headline import headline

# %% cellView="form" tags=["parameters"]
# @markdown "sample" (comes with the course), "meld" (downloaded when missing), or a folder in MELD's format.
corpus = "sample"  # @param {type: "string"}
# @markdown The encoder whose tokens are counted.
encoder = "embedded"  # @param {type: "string"}
# @markdown The number that random choices start from.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# ## Read it, and see what was wrong with it
#
# Reading is where faults should surface. `corpora.load` refuses an unknown label, a missing column, a turn that occurs
# twice, a wrong encoding, and says file and row. What it repairs, curly quotes for instance, it counts.

# %%
data = corpora.load(corpus)
data["train"][0]

# %%
corpora.describe(data)

# %% [markdown]
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
# Nearly half of the turns are neutral. A model that always says "neutral" is right that often, and useless. So accuracy
# alone will not do. The course reports **weighted F1** (each class counts by its size; the usual score for MELD), and
# beside it **macro F1** (each class counts the same), which shows whether fear and disgust are found at all.
#
# ## Lengths, and what padding costs
#
# A batch is a rectangle: shorter texts are filled up. Many tutorials fill everything up to 128 tokens.

# %%
tokenizer, _ = encoders.load(encoder, names)
lengths = [len(example["input_ids"]) for example in batching.tokenize(turns["train"]["text"].tolist(), tokenizer)]
plots.length_histogram(lengths, padded_to=128, max_tokens=4096)

# %%
sampler = batching.TokenBudgetSampler(lengths, max_tokens=4096, max_items=32, seed=seed)
in_order = [range(i, min(i + 32, len(lengths))) for i in range(0, len(lengths), 32)]
shares = {
    "every text padded to 128": batching.padding_share(lengths, padded_to=128),
    "32 texts in any order, padded to the longest": batching.padding_share(lengths, in_order),
    "32 texts of like length, padded to the longest": batching.padding_share(lengths, list(sampler)),
}
pd.Series({way: f"{100 * share:.1f} %" for way, share in shares.items()}, name="padding").to_frame()

# %% [markdown]
# The model computes over padding as if it were text. Batches of like length waste almost nothing; that is what
# `batching.TokenBudgetSampler` makes. Lesson 3 measures what it brings in seconds.
#
# ## Dialogues and speakers
#
# A turn is said by somebody, to somebody, after something.

# %%
train = turns["train"]
sizes = train.groupby("dialogue_id").agg(turns=("text", "size"), speakers=("speaker", "nunique"))
sizes.describe().loc[["count", "mean", "min", "50%", "max"]].round(1)

# %%
busiest = sizes[(sizes["turns"] >= 8) & (sizes["turns"] <= 14)].index
emotions = train[train["dialogue_id"].isin(busiest)].groupby("dialogue_id")["emotion"].nunique()
scene = train[train["dialogue_id"] == emotions.idxmax()]
plots.timeline(scene["speaker"].tolist(), [names[i] for i in scene["emotion"]], scene["text"].tolist())

# %% [markdown]
# Read the short turns on their own, then in their place: several can only be labelled by someone who knows what came
# before. An encoder that sees one turn at a time has to guess there. Does the previous emotion help to guess?

# %%
following = train.groupby("dialogue_id")["emotion"].shift(-1)
pairs = pd.crosstab(train["emotion"], following).reindex(index=range(len(names)), columns=range(len(names)))
pairs = pairs.fillna(0).astype(int).set_axis(names).set_axis(names, axis=1)
plots.transitions(pairs)

# %% [markdown]
# If turns did not depend on each other, every line of the map would look the same. Where they differ, context carries
# information; the lesson on dialogue context uses it.
#
# ## What leaks between the splits
#
# A test set measures generalisation only as far as it differs from what was trained on. Three questions: do the same
# texts occur, the same dialogues, the same people?

# %%
scripts = {split: frame.groupby("dialogue_id")["text"].agg(tuple) for split, frame in turns.items()}
audit = {
    split: {
        "texts that occur in train, %": 100 * turns[split]["text"].isin(train["text"]).mean(),
        "of these, words on average": turns[split]["text"][turns[split]["text"].isin(train["text"])].str.split().str.len().mean(),
        "dialogues that occur in train": scripts[split].isin(scripts["train"]).sum(),
        "turns by a speaker of train, %": 100 * turns[split]["speaker"].isin(train["speaker"]).mean(),
    }
    for split in ("dev", "test")
}
pd.DataFrame(audit).round(1)

# %% [markdown]
# In MELD 12.7 % of the test texts occur in train word for word, nearly all of them short ("Yeah."), one whole test
# dialogue equals a training dialogue, and every test episode also occurs in train, with the same six main speakers. So a
# MELD score says how well a model reads *these people again*; it does not promise much for strangers. The dialogues
# written for this course share neither scenes nor, but for a few, speakers.
#
# Are such repeated texts at least labelled the same? Count how often a repeated text has its most frequent label:

# %%
repeated = train[train.duplicated("text", keep=False)]
agreement = repeated.groupby("text")["emotion"].agg(lambda labels: labels.value_counts().iloc[0]).sum() / len(repeated)
print(f"{len(repeated)} training turns have a text that occurs more than once; their commonest label covers {100 * agreement:.0f} %.")

# %% [markdown]
# What is missing to 100 % no model of single turns can reach on them, however large it is.
#
# ## What goes wrong: cleaning the text
#
# Lower-case everything, drop punctuation, drop digits: a habit from the time of bags of words, still the first step of
# many tutorials. On spoken emotion the exclamation mark *is* the signal. This trains the same bag-of-words classifier on
# differently cleaned texts and scores it on dev:

# %%
dev = turns["dev"]
cost = cleaning.cost(train["text"].tolist(), train["emotion"].tolist(), dev["text"].tolist(), dev["emotion"].tolist())
cost.round(3)

# %%
worst = cost.loc["all three", "weighted_change"]
print(f"All three steps together change weighted F1 by {worst:+.1f} points, and leave {cost.loc['all three', 'emptied']} dev texts empty.")

# %% [markdown]
# A pre-trained encoder has learned from cased, punctuated text (or brings its own lower-casing, as this one does) and
# needs no cleaning from you. Repair broken characters; leave the rest. On a small dev set the change is uncertain: the
# `meld` profile gives the same table over 1,109 dev turns.
#
# ## Why `datasets` and not csv files
#
# A CSV file must be parsed each time, and it forgets what its columns were. A `Dataset` is typed, memory-mapped, and
# gives any row or column without parsing:

# %%
table = pd.concat([train] * (1 + 10_000 // len(train)))[["text", "emotion"]]
table.to_csv("turns.csv", index=False)
Dataset.from_pandas(table, preserve_index=False).save_to_disk("turns")


def milliseconds(action):
    start = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - start)


ways = {
    "parse the csv file": lambda: pd.read_csv("turns.csv"),
    "open the saved data set": lambda: Dataset.load_from_disk("turns"),
}
best = {way: min(milliseconds(action) for _ in range(3)) for way, action in ways.items()}
pd.Series(best, name=f"milliseconds for {len(table):,} rows").round(1).to_frame()

# %% [markdown]
# ## Recap
#
# - Half of all turns are neutral: look at weighted *and* macro F1, and at each class.
# - Turns are short: padding to a fixed length wastes most of the work.
# - Short turns and transitions show that context matters; repeated texts show that some labels are a coin toss.
# - Know what your splits share before you believe a score, and do not clean away the signal.
#
# Next: [3. An honest baseline](03_baseline.ipynb).

# %%
headline("padding to 128 wastes, %", 100 * shares["every text padded to 128"])
