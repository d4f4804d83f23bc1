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
# # 11. Honest search and tracking
#
# *"u said by 5. its 5"*, somebody writes to a shop. Does this ask for the status of an order, or for a refund? The dev
# split of these messages has only 215 rows, so one such message moves the score by half a point. Now somebody tries
# twenty learning rates, and reports the highest of the twenty dev scores. How much of it is the learning rate, and how
# much is luck?
#
# After this lesson you can
#
# - say how much of the best score of a search is luck, and find out whether the winner beats the default,
# - set up a search: choose what it tries, when it stops a trial early, and where it keeps the results,
# - keep a record of each run that says, a year later, what was trained.
#
# You should know learning rates, seeds and paired tests ([lesson 3](03_baseline.ipynb)).
#
# <!-- facts -->
# Measured: default profile 1.6 min, 1.8 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | The winner's curse | 2 |
# | A trial that takes a second | 1 |
# | A search space with reasons | 4 |
# | Pruning: stop what is hopeless | 2 |
# | A search that survives | 1 |
# | Is the winner better than the default? | 3 |
# | Tracking: what was this run? | 2 |
# | Schedules, layer-wise rates and unfreezing | 3 |
# | What goes wrong | 3 |
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
# The picture shows how a text becomes probabilities. A search needs many trainings, so this lesson mostly trains the
# blue step alone, the head, and keeps the encoder as it is. Then one training takes about a second.

# %%
from nbhelpers.course.lesson import check, diagrams, explore, headline, load_splits, quiz, results

diagrams.path("head")

# %%
import inspect
import json
import math
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pandas as pd
import torch
import transformers

from nbhelpers import batching, corpora, encoders, environment, metrics, objectives, plots, search, tracking, training

# %% [markdown]
# What can be set in this lesson:

# %% cellView="form" tags=["parameters"]
# @markdown "intents", "topics", "reviews" or "dialogues" (included), "meld", or a file or folder with text and label.
corpus = "intents"  # @param {type: "string"}
# @markdown The column with the texts; if empty, it is found by its name or its content.
text = ""  # @param {type: "string"}
# @markdown The column with the labels; if empty, it is found by its name or its content.
label = ""  # @param {type: "string"}
# @markdown Of dialogues: the column with the name or number of the dialogue; if empty, it is found by its name.
dialogue = ""  # @param {type: "string"}
# @markdown "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown What the head receives: the "mean" of all token vectors, or "cls", the vector of the first token.
pooling = "mean"  # @param ["mean", "cls"]
# @markdown Trials in each search, at least 8. A trial is the training of one head.
num_trials = 20  # @param {type: "integer"}
# @markdown Searches with each sampler, which have different seeds.
num_searches = 2  # @param {type: "integer"}
# @markdown Fresh seeds with which the winners are trained again.
num_seeds = 10  # @param {type: "integer"}
# @markdown Number of passes over the training data when the whole encoder is trained, near the end.
num_epochs = 3  # @param {type: "integer"}
# @markdown Peak learning rate of the encoder there (the head has ten times as much); roberta-large needs about 0.00001.
lr = 1e-4  # @param {type: "number"}
# @markdown Longer texts are truncated to this many tokens.
max_length = 128  # @param {type: "integer"}
# @markdown Use only this many rows of each split, spread over it; 0 uses all.
num_rows = 0  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# ## The winner's curse
#
# Suppose that twenty configurations are equally good: each is right for 85 % of all texts. You do not know this. You
# score each of them on 300 dev rows, drawn at random for each, and sort the scores (in percent):

# %%
rng = np.random.default_rng(seed)
scores = rng.binomial(300, 0.85, size=20) / 300  # the share of 300 rows that each configuration gets right
print(*(f"{100 * score:.1f}" for score in sorted(scores, reverse=True)))

# %% [markdown]
# The first score looks like progress, and the last like a mistake. Both are chance. This is called the *winner's
# curse*: whoever wins a noisy competition was probably lucky, and will probably be worse the next time. How lucky, on
# average? Repeat the competition ten thousand times:

# %%
best = rng.binomial(300, 0.85, size=(10_000, 20)).max(axis=1) / 300
noise = math.sqrt(0.85 * 0.15 / 300)  # the standard deviation of one score
expected = 0.85 + search.winners_curse(20, sd=noise)
print(f"the best of 20 shows {100 * best.mean():.1f} % on average; winners_curse says {100 * expected:.1f} %")

# %% [markdown]
# The two numbers nearly agree. `winners_curse(n)` is the mean of the highest of n random numbers from a normal
# distribution: 1.16, 1.54, 1.87 and 2.25 standard deviations above the mean for n = 5, 10, 20 and 50. So the luck grows
# slowly with the number of trials. With a quarter of the dev rows, it doubles.
#
# Real configurations are not all equal. Let their true scores vary as well, with a standard deviation called `spread`.
# Then the winner is partly better and partly lucky. On average, it keeps the share spread² / (spread² + noise²) of its
# lead, and loses the rest the next time. (Both are taken as normal here.)

# %%
lead = np.array([search.winners_curse(n) for n in range(1, 51)])  # of the best of n, in standard deviations


def curse(trials=20, dev_rows=300, spread_in_points=0.0):
    noise = 100 * math.sqrt(0.85 * 0.15 / dev_rows)
    total = math.hypot(noise, spread_in_points)  # the standard deviation of the scores on dev
    on_dev = total * lead[:trials]
    table = pd.DataFrame({"on dev": on_dev, "in truth": on_dev * (spread_in_points / total) ** 2}, range(1, trials + 1))
    seen, true = table.iloc[-1]
    words = f"The winner of {trials} trials shows {85 + seen:.1f} % on dev. In truth it has {85 + true:.1f} %."
    return [plots.run_curves(table.rename_axis("trials"), "points above the mean", over="the trials"), words]


explore(curse, trials=(2, 50), dev_rows=(50, 3000, 50), spread_in_points=(0.0, 5.0, 0.25))

# %% [markdown]
# "On dev" is the lead of the winner on dev, "in truth" that on all texts. Start with a spread of 0: more trials raise
# the score on dev, and the model is no better. Then raise the spread. The larger it is compared with the noise, the
# more of the lead is real.
#
# One thing is kinder in reality: all trials are scored on the *same* dev rows. A row that is hard for one model is hard
# for most, so part of the noise is shared and cannot decide who wins. Take the formula as an upper limit for the luck
# with the rows. The luck of the seed comes on top.
#
# ## A trial that takes a second
#
# Load the corpus, and compute the vector of each text once with the frozen encoder, as in
# [lesson 3](03_baseline.ipynb):

# %%
pd.set_option("display.max_colwidth", 150, "display.html.use_mathjax", False)
data = load_splits(corpus, num_rows, text=text, label=label, dialogue=dialogue, seed=seed)
names = data["train"].features["label"].names
gold = {split: part["label"][:] for split, part in data.items()}
device = environment.best_device()
precision, _ = environment.best_precision(device)
tokenizer, model = encoders.load(encoder, names, pooling=pooling)
tokenizer = corpora.normalizing_tokenizer(tokenizer)  # cleans texts as the corpus was cleaned
{split: len(labels) for split, labels in gold.items()}


# %%
def make_dataloader(texts, labels=None, **options):
    examples = batching.tokenize(texts, tokenizer, labels=labels, max_length=max_length)
    return batching.make_dataloader(examples, tokenizer.pad_token_id, **{"batch_size": 64, **options})


class TextVectors(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids, attention_mask):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mean = encoders.mean_over_text(hidden, attention_mask)
        return SimpleNamespace(logits=mean if pooling == "mean" else hidden[:, 0])  # the name that `predict` looks for


# %%
text_vectors = TextVectors(model.base_model).to(device)
vectors = {
    split: training.predict(text_vectors, make_dataloader(part["text"][:], gold[split]), precision=precision)
    for split, part in data.items()
}
train_labels = torch.tensor(gold["train"])
{split: tuple(table.shape) for split, table in vectors.items()}

# %% [markdown]
# Each split is now a table with a line for each text. Unlike in the picture, the head has a hidden layer of `width`
# numbers, so that there is more to search for. `default` is what you would use without a search: the learning rate that
# AdamW has in torch, and usual values for the rest. All scores are weighted F1.

# %%
default = {"lr": 1e-3, "batch_size": 32, "dropout": 0.1, "width": 128}
num_head_epochs = 8


def new_head(config):
    environment.set_seed(config["seed"])  # the weights, the dropout and the order of the rows
    sizes = vectors["train"].shape[1], config["width"], len(names)
    hidden, last = torch.nn.Linear(*sizes[:2]), torch.nn.Linear(*sizes[1:])
    return torch.nn.Sequential(torch.nn.Dropout(config["dropout"]), hidden, torch.nn.ReLU(), last)


def predict(head, split):
    with torch.no_grad():
        return head.eval()(vectors[split]).argmax(-1).numpy()


def score(head, split):
    return metrics.scores(gold[split], predict(head, split), len(names))["weighted_f1"]


# %% [markdown]
# `train_head` is the loop of lesson 3, without a scheduler. It calls `report` after each epoch with the score on dev: a
# search can then stop a hopeless training, and a tracker can write the score down.


# %%
def train_head(config, report=lambda epoch, dev_score: None):
    config = default | config
    head = new_head(config)
    optimizer = torch.optim.AdamW(head.parameters(), lr=config["lr"], fused=True)  # faster: one call for all weights
    for epoch in range(1, num_head_epochs + 1):
        head.train()
        for rows in torch.randperm(len(train_labels)).split(config["batch_size"]):
            torch.nn.functional.cross_entropy(head(vectors["train"][rows]), train_labels[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
        report(epoch, score(head, "dev"))
    return head


def train_and_score(config, report):
    return score(train_head(config, report), "dev")


# %%
curves = {}
for s in (1, 2, 3):
    curves[f"seed {s}"] = curve = {}
    # curve=curve: each function writes to the curve of its own seed
    train_head({"seed": s}, lambda epoch, dev_score, curve=curve: curve.update({epoch: 100 * dev_score}))
plots.run_curves(pd.DataFrame(curves).rename_axis("epoch"), "weighted F1 on dev (%)")

# %% [markdown]
# These three runs have the same configuration. Look at the last points: whatever differs there is the luck of the seed.
# A search has to find differences that are larger.
#
# ## A search space with reasons
#
# A *search space* says which values a setting may have. Each range needs a reason; a range without one wastes trials.
#
# | setting | range | why |
# |---|---|---|
# | `lr` | 0.0001 to 0.1, logarithmic | around the default; a factor of 2 matters as much at 0.0002 as at 0.02 |
# | `batch_size` | 16, 32, 64 | doubling matters, and one more or less does not |
# | `dropout` | 0 to 0.5, linear | it is a share; above one half, little is left |
# | `width` | 32, 64, 128 | a wider layer learns small training sets by heart |
#
# The number of epochs is not in it: all trials have the same, and the pruner below stops hopeless ones early. The seed
# is not in it either, as you will see. Why logarithmic? Draw ten thousand learning rates in both ways. How many percent
# fall into each range?

# %%
draws = {
    "uniform": rng.uniform(1e-4, 1e-1, 10_000),
    "uniform in the logarithm": np.exp(rng.uniform(math.log(1e-4), math.log(1e-1), 10_000)),
}
shares = {name: np.histogram(values, [1e-4, 1e-3, 1e-2, 1e-1])[0] / 100 for name, values in draws.items()}
pd.DataFrame(shares, ["0.0001 to 0.001", "0.001 to 0.01", "0.01 to 0.1"]).round(1)

# %% [markdown]
# Without the logarithm, nine of ten trials are spent on the highest learning rates, and about one in a hundred on those
# below AdamW's default of 0.001.
#
# ### Grid, random and TPE
#
# A *grid* tries all combinations of a few values. It repeats each learning rate many times, only to vary settings that
# may not matter. *Random* points do not ([Bergstra and Bengio 2012](https://www.jmlr.org/papers/v13/bergstra12a.html)).
# Each point in the picture is a trial:

# %%
diagrams.search_points()

# %% [markdown]
# A third way learns from the trials so far. *TPE* (tree-structured Parzen estimator) asks where the good trials lie and
# where the others do, and prefers values that are more frequent among the good ones. [Optuna](https://optuna.org)
# starts it with ten random trials. The helper `search` takes the space as a dict: `(low, high)` is a range, `"log"`
# makes it logarithmic, and a list is a choice.

# %%
space = {
    "lr": (1e-4, 1e-1, "log"),
    "batch_size": [16, 32, 64],
    "dropout": (0.0, 0.5),
    "width": [32, 64, 128],
}
grid = {"lr": [1e-4, 1e-3, 1e-2, 1e-1], "batch_size": [16, 64], "dropout": [0.0, 0.25, 0.5]}  # width stays at 128
budget = num_trials * num_head_epochs  # epochs for each search

# %% [markdown]
# All searches may train for equally many epochs. Each runs more than once, because a search has luck of its own. This
# cell takes the most time in the first half of the lesson.

# %%
trials = {}
for sampler in ("grid", "random", "tpe"):
    for number in range(num_searches):
        settings = {"sampler": sampler, "max_epochs": budget, "seed": seed + number}
        of_sampler = grid if sampler == "grid" else space
        trials[sampler, number] = search.search(train_and_score, of_sampler, num_trials, **settings)
        best = trials[sampler, number].nlargest(1, "score").iloc[0]
        shown = ", ".join(f"{name} {value:.3g}" for name, value in best["config"].items() if name != "seed")
        print(f"{sampler}, search {number + 1}: best score on dev {100 * best['score']:.1f} % with {shown}")

# %% [markdown]
# Compare two lines of the same sampler first: how far apart are their best scores, and do they agree on the settings?
# Only then compare the samplers. (The grid has an advantage here: it contains the default's learning rate.) The next
# picture shows the best score so far, averaged over the searches. It begins at trial 5; before that the lines are far
# lower.

# %%
best_so_far = pd.DataFrame()
for sampler in ("grid", "random", "tpe"):
    of_sampler = [trials[sampler, i]["score"].cummax() for i in range(num_searches)]
    best_so_far[sampler] = 100 * pd.concat(of_sampler, axis=1).mean(axis=1)
best_so_far.index = pd.RangeIndex(1, len(best_so_far) + 1, name="trials")
reference = 100 * np.mean([train_and_score({"seed": s}, lambda *_: None) for s in range(seed, seed + num_searches)])
plots.run_curves(best_so_far.loc[5:] - reference, "points above the default", over="the trials")

# %% [markdown]
# No line ever falls: that is what a maximum does, with or without progress. Where the lines end above zero, the
# searches seem to beat the default. Whether they do is the question of a later section.
#
# Which setting matters at all? Sort the random trials by a setting, and take the mean score of each third:

# %%
points = pd.concat(
    pd.DataFrame(table["config"].tolist()).assign(score=100 * table["score"])
    for (sampler, _), table in trials.items()
    if sampler == "random"
)
thirds = ["lowest third", "middle third", "highest third"]
by_third = {
    setting: points.groupby(pd.qcut(points[setting], 3, labels=thirds), observed=True)["score"].mean()
    for setting in ("lr", "dropout")
}
pd.DataFrame(by_third).T.round(1)

# %% [markdown]
# Large differences in a line suggest a setting that matters. They do not prove it: a few trials with a far too high
# learning rate can pull down any third of `dropout`. If the best third is an outer one, extend the range on that side
# where you can, and search again.
#
# ## Pruning: stop what is hopeless
#
# A *pruner* stops a trial whose score is low compared with others after the same number of epochs. The *median* pruner
# waits until five trials are complete. Then it stops a trial whose best score so far is below their median after the
# same epoch. *Successive halving* decides at certain epochs, here after 2 and after 8. It lets only the best part go
# on, here a quarter of the trials so far:

# %%
diagrams.halving()

# %% [markdown]
# A pruner saves time if early scores predict late ones. Do they here? For the first random search, in which no trial
# was stopped, correlate the rank of the trials after each epoch with their rank at the end. 1 means the same order, and
# 0 no relation.

# %%
whole = trials["random", 0]
after_epoch = pd.DataFrame(whole["reports"].tolist(), columns=range(1, num_head_epochs + 1))
ranks = after_epoch.rank().corrwith(whole["score"].rank())
ranks.rename("correlation of ranks").rename_axis("after epoch").round(2).to_frame().T

# %% [markdown]
# As long as the number is near 0, a pruner stops trials almost at random. Now run the same search with pruners. The
# random sampler proposes the same configurations again, with the same seed, so each trial is as before until it is
# stopped.

# %%
pruned = {"no pruner": whole}
pruners = {"median, from epoch 1": ("median", 1), "median, from epoch 4": ("median", 4), "halving": ("halving", 2)}
for name, (pruner, min_epochs) in pruners.items():
    settings = {"sampler": "random", "pruner": pruner, "min_epochs": min_epochs, "seed": seed}
    pruned[name] = search.search(train_and_score, space, num_trials, **settings)

# %%
best_trial = whole["score"].idxmax()
rows = {
    name: {
        "epochs": table["epochs"].sum(),
        "trials stopped": (table["state"] == "pruned").sum(),
        "winner": "stopped" if table["state"][best_trial] == "pruned" else "kept",
        "best score (%)": round(100 * table["score"].max(), 1),
    }
    for name, table in pruned.items()
}
pd.DataFrame(rows).T

# %% [markdown]
# Read two columns together: how many epochs all trials took, and whether the winner of the first line was kept. If it
# was stopped, look at the last column. A loss smaller than the luck of the seed is a fair price for half of the epochs.
# (Halving also stops trials after epoch 8, their last, which saves nothing.)
#
# Optuna's default is the median pruner, which decides from the first epoch on. With a *warm-up* in epochs
# (`min_epochs`), trials that start slowly get their chance. And because a stopped trial is cheaper, a fair comparison
# of pruners has equal epochs (`max_epochs`), not equal trials as here.
#
# **Exercise.** Write the median rule. You get the `curve` of a trial, its scores after epoch 1, 2 and so on, for
# instance `[0.5, 0.56, 0.6, 0.7]`, and the curves of the `complete` trials. Return the epoch after which the trial is
# stopped, counted from 1, or 0 for never.


# %%
def stopped_after(curve, complete):
    return None  # your code


check("11-stopped", stopped_after)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import statistics
#
#
# def stopped_after(curve, complete):
#     for epoch in range(1, len(curve) + 1):
#         if max(curve[:epoch]) < statistics.median(other[epoch - 1] for other in complete):
#             return epoch
#     return 0
# ```
# </details>
#
# ## A search that survives
#
# A search over real trainings takes hours, and machines restart. With a `storage`, each finished trial is kept in an
# SQLite file. The next cells stop a search of six trials in its fourth, as you would with the stop button, and then
# make the same call again:

# %%
folder = Path("runs", "lesson-11")
shutil.rmtree(folder, ignore_errors=True)  # from an earlier run
calls = []


def stop_in(call):
    def run(config, report):
        calls.append(config)
        if len(calls) == call:
            raise KeyboardInterrupt
        return train_and_score(config, report)

    return run


# %%
try:
    search.search(stop_in(4), space, 6, storage=folder / "search.db", seed=seed)
except KeyboardInterrupt:
    print("stopped in trial", len(calls))
resumed = search.search(stop_in(None), space, 6, storage=folder / "search.db", seed=seed)
print(f"{len(resumed)} trials are complete after {len(calls)} trainings")

# %% [markdown]
# One training more than trials: only the one that was stopped is repeated, with the same configuration. To use two
# *workers*, start the same script twice on one machine, with the same storage. Each takes the next trial that nobody
# has, both see all results, and if one of them dies, the other repeats its trial. SQLite files are not safe on network
# drives, so several machines need more: Ray Tune, which takes the same function and space (`deploy/ray_tune.py`), or
# Optuna with a database server.
#
# ## Is the winner better than the default?
#
# Each sampler has a winner, the best trial of all its searches. These finalists were chosen because their scores are
# high, so these scores say little. Train them again, together with the default, with *fresh seeds* that no search has
# used. `confirm` compares each finalist with the default, seed by seed, in a paired t-test:

# %%
configs = {"default": default}
for sampler in ("grid", "random", "tpe"):
    of_sampler = pd.concat(trials[sampler, i] for i in range(num_searches))
    configs[sampler] = of_sampler.nlargest(1, "score")["config"].iloc[0]
fresh_seeds = range(1000, 1000 + num_seeds)
confirmed = search.confirm(train_and_score, configs, fresh_seeds)

# %%
in_search = {
    sampler: max(trials[sampler, i]["score"].max() for i in range(num_searches))
    for sampler in ("grid", "random", "tpe")
}
shown = 100 * confirmed[["mean", "sd", "difference", "low", "high"]]
shown.insert(0, "in the search", 100 * pd.Series(in_search))
shown = shown.map("{:.1f}".format).assign(p_holm=confirmed["p_holm"].map("{:.3f}".format))
shown.replace("nan", "")

# %% [markdown]
# (TPE and random search start with the same ten trials, so they may have the same winner.) "Mean" and "sd" (standard
# deviation) are over the fresh seeds. "In the search" minus "mean" is what the winner loses when it is trained again:
# the luck of its seed. "Difference" is the gain over the default, with the 95 % interval from "low" to "high". If zero
# is inside, these runs show neither a gain nor a loss. `p_holm` is the p-value after *Holm's correction*: three
# finalists have three chances to be lucky, so their p-values are raised. An "sd" much larger than the default's means a
# setting that only works with some seeds.
#
# This covers other seeds, but the dev rows are still those that chose the winners. So the last word belongs to test,
# which is read once. Take the finalist with the highest mean:

# %%
winner = confirmed["mean"].drop("default").idxmax()
heads = {name: [train_head(configs[name] | {"seed": s}) for s in fresh_seeds] for name in ("default", winner)}
on_test = {name: [predict(head, "test") for head in runs] for name, runs in heads.items()}
compared = metrics.compare_runs(gold["test"], on_test["default"], on_test[winner], num_classes=len(names), seed=seed)
test_scores = {name: 100 * np.mean([score(head, "test") for head in runs]) for name, runs in heads.items()}

# %%
top = max(in_search, key=in_search.get)  # what a paper would report
print(
    f"{top}: {100 * in_search[top]:.1f} % on dev in the search, {100 * confirmed['mean'][top]:.1f} % with fresh seeds"
)
gain, low, high = (100 * compared[key] for key in ("difference", "low", "high"))
print(f"{winner}: {test_scores[winner]:.1f} % on test; the default: {test_scores['default']:.1f} %")
print(f"difference on test: {gain:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}")

# %% [markdown]
# The first line is what the search would have reported, and what remains of it. The last line is a paired test on the
# same test rows, as in lesson 3, but over all seeds: its interval covers other seeds and other test rows. If zero is in
# it, keep the default: it is one thing less to explain.
#
# **Exercise: is the gain beyond noise?** Take the scores on dev of the default and of the winner with the fresh seeds.
# Subtract them seed by seed, and divide the mean of the differences by its standard error.

# %%
t_value = None  # your answer, from confirmed["scores"]["default"] and confirmed["scores"][winner]
check("11-noise", t_value, confirmed["scores"]["default"], confirmed["scores"][winner])

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# differences = np.subtract(confirmed["scores"][winner], confirmed["scores"]["default"])
# t_value = differences.mean() / (differences.std(ddof=1) / math.sqrt(len(differences)))
# ```
# </details>
#
# Which gain could these runs have found? One of three standard errors in most cases, one of two in fewer than half. The
# standard error shrinks with the root of the number of seeds, so four times the seeds find half the gain. If you hope
# for a smaller gain than that, no winner can be believed.
#
# Now a text of your own, for both heads of the first fresh seed. They learned from the same vectors, so they should
# agree for most texts.


# %%
def both_heads(text):
    vector = training.predict(text_vectors, make_dataloader([text]), precision=precision)
    with torch.no_grad():
        rows = {name: runs[0].eval()(vector).softmax(-1)[0].tolist() for name, runs in heads.items()}
    return plots.class_probabilities(pd.DataFrame(rows, names).T)


explore(both_heads, text="u said by 5. its 5, and the box is open. who do i send it back to")

# %% [markdown]
# ## Tracking: what was this run?
#
# After so many trainings, which one was the good one? A *tracker* writes down what a run used and how it went. A record
# must hold what you need to repeat the run:
#
# | what | the question that it answers |
# |---|---|
# | the commit | which code was it, and had it been changed since the last commit ("-dirty")? |
# | the configuration, with the seed | which settings? |
# | the versions and the device | would I get the same numbers today? |
# | a *digest* of each data file | is this still the same data? |
# | the scores, from each epoch and at the end | how did it go? |
#
# (The commit is None outside of a git repository.) A digest (SHA-256) is a number computed from all bytes of a file.
# Here are those of two versions of the training data that differ in one letter:

# %%
for split in ("train", "dev"):
    folder.joinpath(f"{split}.csv").write_text(data[split].to_pandas()[["text", "label"]].to_csv(index=False))
content = folder.joinpath("train.csv").read_text()
folder.joinpath("changed.csv").write_text(content.replace("e", "a", 1))
for name in ("train.csv", "changed.csv"):
    print(f"{tracking.digest(folder / name)[:16]}...  {name}")

# %% [markdown]
# One letter changes the whole digest. For large data, tools such as DVC keep digests in the repository and the files
# elsewhere.
#
# Pass a `Tracker` as `log` to `training.fit`, or as a callback to transformers' Trainer. Whatever else it writes to,
# the record is also a file of JSON lines. The first line says what was trained:


# %%
def tracked(name, tracker, config):
    files = [folder / "train.csv", folder / "dev.csv"]
    with tracking.Tracker(name, tracker, folder=folder, config=config, data_files=files) as record:
        head = train_head(config, lambda epoch, dev_score: record({"step": epoch, "dev_score": dev_score}))
        record({"test_weighted_f1": score(head, "test")})
    return record.file


lines = tracked("winner", "tensorboard", configs[winner] | {"seed": 1000}).read_text().splitlines()
facts, *rows = map(json.loads, lines)
pd.Series({name: str(value)[:150] for name, value in facts.items()}).to_frame("the first line")

# %%
pd.DataFrame(rows).tail(3)  # the last epoch, the score on test, and that the run ended well

# %% [markdown]
# NaN marks what a row does not have. The same rows went to TensorBoard, which draws curves of many runs; start it with
# `%load_ext tensorboard` and `%tensorboard --logdir runs/lesson-11`. MLflow keeps runs in a database with a page to
# sort and compare them. Without a server, this is one SQLite file, which can be read without MLflow too:

# %%
os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"  # else it reports each table that it creates
try:
    tracked("winner-mlflow", "mlflow", configs[winner] | {"seed": 1000})
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        print(pd.read_sql("SELECT key, value FROM params", store).to_string(index=False))
        print(
            pd.read_sql("SELECT key, round(value, 3) AS value, step FROM metrics", store).tail(3).to_string(index=False)
        )
except ValueError as error:
    print(error)  # MLflow is not among the packages of the course: pip install "nbhelpers[track]"

# %% [markdown]
# `mlflow ui --backend-store-uri sqlite:///runs/lesson-11/mlflow.db` opens the page. It is in the full package mlflow,
# which needs an environment of its own, because it asks for older packages than the course. With `uri="http://..."`,
# the rows go to a server. If the server is down, you get a warning, the training goes on, and `tracking.send` passes
# the file on later. `"wandb"` writes a run of Weights & Biases without a network; `wandb sync` uploads it.
#
# ## Schedules, layer-wise rates and unfreezing
#
# So far only the head was trained. Fine-tuning has more settings, which papers and tutorials often recommend. Each is
# one more dimension of a search. First the *schedule* of the learning rate over a run, here with a warm-up of 10 %:

# %%
rates = {}
for schedule in training.SCHEDULES:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = training.make_scheduler(optimizer, 100, schedule=schedule, warmup_ratio=0.1)
    rates[schedule] = []
    for _ in range(100):
        rates[schedule].append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
plots.run_curves(pd.DataFrame(rates).rename_axis("update"), "share of the peak rate")

# %% [markdown]
# All three rise to the peak. Then two fall to 0, and one stays. Second, *layer-wise learning rates* ([Howard and Ruder
# 2018](https://arxiv.org/abs/1801.06146)). Lower layers are thought to contain what most texts need, so they get
# smaller steps: each layer has the rate of the layer above, times a factor. Here the factor is 0.8:

# %%
optimizer = training.make_optimizer(model, lr, head_lr=10 * lr, layer_decay=0.8)
weights = {}
for group in optimizer.param_groups:
    weights[group["lr"]] = weights.get(group["lr"], 0) + sum(part.numel() for part in group["params"])
rows = [(f"{rate:.3g}", f"{weights[rate]:,}") for rate in sorted(weights)]
pd.DataFrame(rows, columns=["learning rate", "weights"])

# %% [markdown]
# The first line is the embeddings, the last one the head, and each line between them a layer. Third, *progressive
# unfreezing*, from the same paper, which calls it gradual: train the head alone, then also the last layer, and so on
# down. Only weights with `requires_grad` are trained:


# %%
def unfreeze(model, num_layers):
    training.freeze_encoder(model)
    layers = next(module for module in model.base_model.modules() if isinstance(module, torch.nn.ModuleList))
    for layer in list(layers)[len(layers) - num_layers :]:
        layer.requires_grad_(True)
    return sum(part.numel() for part in model.parameters() if part.requires_grad)


pd.Series({n: f"{unfreeze(model, n):,}" for n in range(4)}).rename_axis("layers unfrozen").to_frame("trained weights").T

# %% [markdown]
# Does any of this help? Test the layer-wise rates. `fine_tune` has the same form as `train_and_score`, but now it
# fine-tunes the encoder, on 400 rows to save time, and each run leaves a record:


# %%
def fine_tune(config, report):
    environment.set_seed(config["seed"])
    model = encoders.load(encoder, names, pooling=pooling)[1].to(device)
    encoders.use_fast_layers(model, device, precision)
    options = {"batch_size": 16, "shuffle": True, "seed": config["seed"]}
    dataloader = make_dataloader(data["train"]["text"][:400], gold["train"][:400], **options)
    optimizer = training.make_optimizer(model, lr, head_lr=10 * lr, layer_decay=config["layer_decay"])
    scheduler = training.make_scheduler(optimizer, num_epochs * len(dataloader))
    with tracking.Tracker("fine-tuning", folder=folder, config=config | {"lr": lr}) as record:
        settings = {"num_epochs": num_epochs, "precision": precision, "evaluate": dev_score, "log": record}
        history = training.fit(model, dataloader, objectives.cross_entropy, optimizer, scheduler, **settings)
    scores = [row["dev_score"] for row in history if "dev_score" in row]
    print(f"layer_decay {config['layer_decay']}, seed {config['seed']}: {100 * max(scores):.1f} %")
    return max(scores)


# %%
dev_loader = make_dataloader(data["dev"]["text"][:], gold["dev"])


def dev_score(model):
    predicted = training.predict(model, dev_loader, precision=precision).argmax(-1)
    return metrics.scores(gold["dev"], predicted, len(names))["weighted_f1"]


decays = {"default": {"layer_decay": 1.0}, "layer-wise": {"layer_decay": 0.8}}
fine_tuned = search.confirm(fine_tune, decays, seeds=[1, 2])
(100 * fine_tuned[["mean", "sd", "difference", "low", "high"]]).round(1)

# %% [markdown]
# Two seeds are what this lesson has time for. With two, even the width of the interval is a matter of luck: it comes
# from the difference of two numbers. So do not choose by it. The next table has five seeds for each row, on the
# messages to a shop and on the news items of the course. Each row changes one setting of the default. The lines above
# it name the rows with a corrected p-value below 0.05.

# %%
tests = results.tests("schedules")
clear = [(row, test["difference"]) for row, test in tests.items() if test.get("p_holm", 1) < 0.05]
print("clearly better than the default:", ", ".join(row for row, gain in clear if gain > 0) or "no measured row")
print("clearly worse:", ", ".join(row for row, gain in clear if gain < 0) or "no measured row")
results.summary("schedules")

# %% [markdown]
# Each difference is to the default of the same corpus; intervals and p-values are as above. A row whose interval
# contains zero shows no clear gain. (If it says "not measured yet", `nbhelpers results schedules` measures it.) Search
# over the settings that hurt when they are wrong, such as the learning rate, before you try refinements.
#
# ## What goes wrong
#
# ### Trainer's own search, with its defaults
#
# transformers' Trainer has a method `hyperparameter_search`. Look at its defaults, and at the number that its default
# objective computes for two models, one good and one bad:

# %%
from transformers.trainer_utils import default_compute_objective, default_hp_space_optuna

defaults = inspect.signature(transformers.Trainer.hyperparameter_search).parameters
print(f"direction={defaults['direction'].default!r}, n_trials={defaults['n_trials'].default}")
evaluated = {
    "good": {"eval_loss": 0.4, "eval_accuracy": 0.90, "eval_f1": 0.88, "eval_runtime": 3.1, "epoch": 3},
    "bad": {"eval_loss": 1.9, "eval_accuracy": 0.40, "eval_f1": 0.20, "eval_runtime": 3.1, "epoch": 3},
}
{name: round(default_compute_objective(scores), 2) for name, scores in evaluated.items()}

# %% [markdown]
# If your `compute_metrics` returns scores, the objective is their *sum*, without the loss, and the smallest sum wins:
# the search looks for the worst model. Pass `direction="maximize"` and a `compute_objective` that returns one score.
# And what does it search over?

# %%
default_hp_space_optuna(optuna.create_study().ask())

# %% [markdown]
# One of the four is the seed. A search over seeds finds a lucky one. `search` refuses it:

# %%
try:
    search.search(train_and_score, {"lr": (1e-4, 1e-1, "log"), "seed": (1, 40)}, num_trials)
except search.SearchError as error:
    print(error)

# %% [markdown]
# ### The best of several seeds as the result
#
# Here is the default with as many seeds as the searches had trials. Nothing but the seed differs. What would a paper
# report, and what does everybody else get? (Test is read again, but only to show this.)

# %%
by_seed = [train_head({"seed": 2000 + s}) for s in range(num_trials)]
dev_scores, test_of_seeds = (100 * np.array([score(head, split) for head in by_seed]) for split in ("dev", "test"))
lucky = dev_scores.argmax()
rows = {"the best seed on dev": (dev_scores[lucky], test_of_seeds[lucky])}
rows["the mean of all seeds"] = dev_scores.mean(), test_of_seeds.mean()
pd.DataFrame(rows, ["dev (%)", "test (%)"]).T.round(1)

# %% [markdown]
# On dev the best seed is ahead of the mean, by construction. How much of this lead is left on test? In a single case it
# may be anything, from more than all to less than nothing. [Dodge et al. 2020](https://arxiv.org/abs/2002.06305)
# fine-tuned BERT with very many seeds. Where earlier dev scores were 70.4 on RTE and 60.6 on CoLA (two benchmarks),
# their best seeds reached 77.3 and 67.6. Many published methods gain less.
#
# ### Choosing on test
#
# "We only looked at test to pick the epoch." To see what that does, cut test into two halves at random. Choose the best
# of these heads on one half, and score it on the other half, which stands for the texts of next month. Repeat this 500
# times:

# %%
is_right = np.array([predict(head, "test") for head in by_seed]) == np.array(gold["test"])  # [heads, rows]
chosen = []
for _ in range(500):
    order = rng.permutation(is_right.shape[1])
    first, second = (is_right[:, half].mean(axis=1) for half in np.array_split(order, 2))  # accuracies [heads]
    chosen.append((first.max(), second[first.argmax()], second.mean()))
columns = ["chosen half", "other half", "mean of all heads there"]
(100 * pd.DataFrame(chosen, columns=columns).mean()).round(1).to_frame("accuracy (%)").T

# %% [markdown]
# The first number is what would be published. The second is what the chosen heads reach on other texts, and the third
# what you get without choosing. These few heads are enough for a gap; a team that looks at test for a year makes far
# more choices. If you must choose and report on the same data, use *nested* selection as here: choose on one part, and
# score on another, in turns.
#
# ### Arguments and callbacks that do not exist
#
# Many posts pass `early_stopping_patience` to TrainingArguments:

# %%
try:
    transformers.TrainingArguments("checkpoints", early_stopping_patience=2)
except TypeError as error:
    print("TypeError:", error)

# %% [markdown]
# It belongs to a callback: `callbacks=[transformers.EarlyStoppingCallback(early_stopping_patience=2)]`, together with
# `eval_strategy="epoch"`, `save_strategy="epoch"`, `load_best_model_at_end=True` and `metric_for_best_model`. In
# `training.fit` it is `patience=2`.
#
# Others copy Optuna's pruning callback for Lightning, which acts in `on_validation_end`, into a callback for Trainer.
# Which events does Trainer have?

# %%
events = [name for name in dir(transformers.TrainerCallback) if name.startswith("on_")]
print("on_validation_end" in events, "on_evaluate" in events)

# %% [markdown]
# Trainer never calls `on_validation_end`, so no trial is ever stopped, and there is no error. Report in `on_evaluate`,
# or let `hyperparameter_search` do it: with Optuna, Trainer itself reports after each evaluation.
#
# ### An optimizer that was made too early
#
# Progressive unfreezing has a trap of its own. Freeze the encoder, make the optimizer, and then unfreeze two layers:

# %%
unfreeze(model, 0)
optimizer = training.make_optimizer(model, lr)
trainable = unfreeze(model, 2)
in_optimizer = sum(part.numel() for group in optimizer.param_groups for part in group["params"])
print(f"{trainable:,} weights are trainable, and {in_optimizer:,} of them are in the optimizer")

# %% [markdown]
# The two layers get gradients and never move. There is no error, and the loss still falls, because the head learns.
# Make the optimizer before you freeze anything, so that it contains all weights. (Adding them later, with
# `add_param_group`, makes the scheduler fail.)
#
# ## Exercises
#
# **1.** Write the draw that is uniform in the logarithm. You get `low`, `high` and a number `u`, which is uniform from
# 0 to 1. For u = 0 return low, for u = 1 high, and in between make each factor of 10 as likely as any other.


# %%
def log_uniform(low, high, u):
    return None  # your code


check("11-log-uniform", log_uniform)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def log_uniform(low, high, u):
#     return low * (high / low) ** u
# ```
# </details>
#
# **2.** How good would a search with fewer trials have been? Take all scores of a random search. Draw `num_trials` of
# them at random, where a score can be drawn more than once. Compute the expected value of the highest, without a
# simulation. (Sort the scores. With n of them, all draws are at most the i-th lowest with probability (i / n) to the
# power of `num_trials`.)


# %%
def expected_best(scores, num_trials):
    return None  # your code


check("11-expected-best", expected_best)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def expected_best(scores, num_trials):
#     n, best = len(scores), 0.0
#     for i, score in enumerate(sorted(scores), start=1):
#         best += score * ((i / n) ** num_trials - ((i - 1) / n) ** num_trials)
#     return best
# ```
# </details>
#
# Then apply it to `trials["random", 0]["score"]` for 1 to 20 trials. From which number on does a further trial bring
# less than the luck of the seed, the "sd" of the default above?
#
# ## Quiz
#
# Three questions on this lesson:

# %%
quiz("11-best-of-20")
quiz("11-pruner")
quiz("11-trainer")

# %% [markdown]
# ## Recap
#
# - The best of many scores is partly luck. The luck grows with the number of trials and with the noise of dev.
# - Give each range a reason, use a logarithmic scale for learning rates, and give all methods the same budget of
#   epochs. A pruner needs a warm-up.
# - Train the finalists and the default again with fresh seeds, correct for the number of finalists, and read test once.
# - Record the commit, the configuration, the versions, the digests of the data, and the scores.
# - "The default is as good" is a result, and a cheap one.
#
# Next: choose a method from [lesson 8](08_rare_classes.ipynb) or [lesson 5](05_rdrop.ipynb), and test it in this way.
# The last cell has the number that `nbhelpers run` shows for this lesson: what the best trial of all searches lost when
# it was trained again.

# %%
headline("points that the best trial lost with fresh seeds", 100 * (in_search[top] - confirmed["mean"][top]))
