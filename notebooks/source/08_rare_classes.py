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
# # 8. Rare classes and more data
#
# *"Please strike me from everything. I'm ninety, I shan't be buying any more, and I'd like to leave the world as few
# lists as possible with my name on them."* This message to a shop is about privacy, and in the EU somebody must answer
# it within a month. Only 20 of the shop's 962 training messages are of this kind. A model can have a good score and
# never predict "privacy" at all. So how do you make a rare class count, and which of the many methods is worth its
# trouble?
#
# After this lesson you can
#
# - correct for rare classes in training (weights, losses, sampling) or after it, with one number chosen on dev,
# - tell a gain on dev that will last from one that was fitted to a handful of rows,
# - augment texts without breaking their labels and without a leak, and measure whether it pays.
#
# You should know logits, the cross-entropy, F1 and the dev split ([lesson 3](03_baseline.ipynb)).
#
# <!-- facts -->
# Measured: default profile 1.2 min, 1.9 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | A score that looks fine | 2 |
# | Weights: errors on rare classes cost more | 3 |
# | Move the boundary after training | 2 |
# | Choose on dev: gains that are too good | 2 |
# | Correct in training | 2 |
# | What pays: the measured table | 2 |
# | More data from the data you have | 4 |
# | What goes wrong | 5 |
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
# The picture shows how a text becomes probabilities. This lesson changes the texts that go in, and what is made of the
# numbers that come out. The rest is as in [lesson 3](03_baseline.ipynb).

# %%
from nbhelpers.course.lesson import LiveTraining, check, diagrams, explore, headline, load_splits, quiz, results

diagrams.path(["text", "softmax"])

# %%
import random
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
import transformers
from torch.nn import functional as F
from torch.utils.data import DataLoader

from nbhelpers import augmentation, batching, corpora, encoders, environment, imbalance, metrics, objectives
from nbhelpers import plots, training

transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show

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
# @markdown The method that is trained beside the plain model.
method = "logit_adjustment"  # @param ["logit_adjustment", "weights", "root_weights", "focal_loss", "balanced_sampler"]
# @markdown Number of passes over the training data; the epoch with the best dev score is kept.
num_epochs = 3  # @param {type: "integer"}
# @markdown Peak learning rate of the encoder (the head has ten times as much); roberta-large needs about 0.00001.
lr = 1e-4  # @param {type: "number"}
# @markdown Largest number of texts in a batch.
batch_size = 16  # @param {type: "integer"}
# @markdown Longer texts are truncated to this many tokens.
max_length = 128  # @param {type: "integer"}
# @markdown Use only this many rows of each split, spread over it; 0 uses all.
num_rows = 0  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# Load the corpus. A class that train lacks cannot be learned, and one that dev lacks cannot be judged, so the rows of
# such classes are left out.

# %%
pd.set_option("display.max_colwidth", 150, "display.html.use_mathjax", False)
data = load_splits(corpus, num_rows, text=text, label=label, dialogue=dialogue, seed=seed)
all_names = data["train"].features["label"].names
kept = sorted(set(data["train"]["label"]) & set(data["dev"]["label"]))
names, texts, gold = [all_names[i] for i in kept], {}, {}
for split, part in data.items():
    rows = [row for row, i in enumerate(part["label"]) if i in kept]
    texts[split] = part.select(rows)["text"][:]
    gold[split] = torch.tensor([kept.index(i) for i in part.select(rows)["label"]])

# %%
counts = imbalance.count_labels(gold["train"], len(names))  # training rows of each class
rarest = imbalance.rarest_classes(counts, 1)[0]
of_splits = {split: imbalance.count_labels(labels, len(names)).numpy() for split, labels in gold.items()}
plots.label_distribution(pd.DataFrame(of_splits, names))

# %% [markdown]
# Look at the smallest class in dev. If it has four rows there, one more that is found is 25 points of its recall. Keep
# this number in mind.
#
# ## A score that looks fine
#
# Train a plain model first. The next two cells prepare the batches and a function that trains, as in
# [lesson 3](03_baseline.ipynb).

# %%
device = environment.best_device()
precision, _ = environment.best_precision(device)
tokenizer = corpora.normalizing_tokenizer(encoders.load(encoder, names)[0])
examples, dataloaders = {}, {}
for split in data:
    labels = gold[split].tolist()
    examples[split] = batching.tokenize(texts[split], tokenizer, labels=labels, max_length=max_length)
    options = {"batch_size": batch_size, "shuffle": split == "train", "seed": seed}
    dataloaders[split] = batching.make_dataloader(examples[split], tokenizer.pad_token_id, **options)


# %%
def train(objective, dataloader):
    environment.set_seed(seed)  # the same random head each time
    model = encoders.load(encoder, names, pooling=pooling)[1].to(device)
    encoders.use_fast_layers(model, device, precision)
    optimizer = training.make_optimizer(model, lr, head_lr=10 * lr)
    scheduler = training.make_scheduler(optimizer, num_epochs * len(dataloader))
    settings = {"num_epochs": num_epochs, "precision": precision, "log": LiveTraining(num_epochs)}
    training.fit(model, dataloader, objective, optimizer, scheduler, evaluate=dev_score, **settings)
    return model, {x: training.predict(model, dataloaders[x], precision=precision) for x in ("dev", "test")}


def dev_score(model):
    predicted = training.predict(model, dataloaders["dev"], precision=precision).argmax(-1)
    return metrics.scores(gold["dev"], predicted, len(names))["weighted_f1"]


# %%
logits = {}
plain_model, logits["plain"] = train(objectives.cross_entropy, dataloaders["train"])

# %% [markdown]
# The epoch with the best weighted F1 on dev was kept. *Weighted F1* counts each class by its number of rows, and *macro
# F1* counts all classes alike. The table has a line for each class, the rarest first. (Of more than ten classes, it
# shows the five rarest and the five most frequent.)

# %%
by_size = imbalance.rarest_classes(counts, len(names))
shown = by_size if len(names) <= 10 else by_size[:5] + by_size[-5:]


def totals(split, predicted):
    scores = metrics.scores(gold[split], predicted, len(names))
    return f"{split}: weighted F1 {100 * scores['weighted_f1']:.1f} %, macro F1 {100 * scores['macro_f1']:.1f} %"


def of_classes(split, predicted):
    table = metrics.per_class(gold[split], predicted, names)
    percent = (100 * table[["precision", "recall", "f1"]]).round(1)
    percent.columns = [f"{column} (%)" for column in ("precision", "recall", "F1")]
    return percent.assign(**{"train rows": counts.numpy(), f"{split} rows": table["support"]}).iloc[shown]


# %%
predicted = logits["plain"]["dev"].argmax(-1)
print(totals("dev", predicted))
of_classes("dev", predicted)

# %% [markdown]
# Compare both scores, and then read the first lines of the table. Where weighted F1 is far above macro F1, the model
# does worse on rare classes. An F1 of 0 means that no row of the class was found, often because the class is never
# predicted. Weighted F1 hardly notices: such a class has few rows. If your classes are equally frequent, both scores
# are about the same, and weights, logit adjustment and a balanced sampler change nothing.
#
# Ask the model about a message yourself. Try to write one that it takes for the rarest class. The example is from the
# message above:


# %%
def logits_of(text, model):
    (example,) = batching.tokenize([text], tokenizer, max_length=max_length)
    batch = batching.Collator(tokenizer.pad_token_id)([example]).items()
    with torch.no_grad(), training.autocast(device, precision):
        return model.eval()(**{name: tensor.to(device) for name, tensor in batch}).logits[0].float().cpu()


def plain_probabilities(text):
    return plots.class_probabilities(
        pd.DataFrame([logits_of(text, plain_model).softmax(-1).tolist()], ["plain"], names)
    )


request = "Please strike me from everything. I'm ninety, I shan't be buying any more."
explore(plain_probabilities, text=request)

# %% [markdown]
# ## Weights: errors on rare classes cost more
#
# Why does this happen? The loss is a mean over rows. A class with few rows has a small share in it, so the model gains
# little by learning it. *Class weights* change that: the loss of each row is multiplied by the weight of its class.
# There are three usual formulas, where n_c is the number of training rows of class c. Here they are for three classes:

# %%
three = torch.tensor([80.0, 15.0, 5.0])  # rows of each class
beta = 0.99
formulas = {
    "no weights": torch.ones(3),
    "inverse: 1 / n_c": 1 / three,
    "square root: 1 / sqrt(n_c)": three**-0.5,
    "effective number": (1 - beta) / (1 - beta**three),
}
scaled = {name: (w * three.sum() / (w * three).sum()).tolist() for name, w in formulas.items()}
pd.DataFrame(scaled, ["80 rows", "15 rows", "5 rows"]).T.round(2)

# %% [markdown]
# With inverse weights, a row of the rarest class counts 16 times as much as one of the largest. Each line was
# multiplied by a number that makes the mean over all *rows* 1, so the loss stays about as large as before. Many papers
# make the mean over the *classes* 1. That makes the loss of unequal classes smaller: for SGD a lower learning rate in
# disguise, for AdamW hardly a change.
#
# The *effective number* ([Cui et al. 2019](https://arxiv.org/abs/1901.05555)) says that further rows of a class bring
# less and less new. From a few times 1 / (1 - beta) rows on, all classes therefore have nearly the same weight. What do
# the weights do to the loss? If all rows had the same loss, each class would have this share of it, in percent:

# %%
shares = {name: (w * three / (w * three).sum() * 100).tolist() for name, w in formulas.items()}
pd.DataFrame(shares, ["80 rows", "15 rows", "5 rows"]).T.round(1)

# %% [markdown]
# Inverse weights give each class the same share. The two other formulas lie between that and no weights. The helpers
# `inverse_frequency_weights` (`power=1` or `0.5`) and `effective_number_weights` compute the weights of your classes:

# %%
weights = {
    "inverse": imbalance.inverse_frequency_weights(counts),
    "square root": imbalance.inverse_frequency_weights(counts, power=0.5),
    "effective number, beta 0.999": imbalance.effective_number_weights(counts, beta=0.999),
}
pd.DataFrame({"train rows": counts.numpy(), **{name: w.numpy() for name, w in weights.items()}}, names).iloc[
    shown
].round(2)

# %% [markdown]
# Where all classes have far fewer than 1,000 rows, the last column is nearly "inverse". A class with 5 rows and a
# weight of 20 does not become a class with 100 rows. The model sees the same five texts, and can learn them by heart.
#
# **Exercise.** Write the inverse weights by hand. You get the counts as a list, for instance `[80, 15, 5]`, and return
# a list of weights whose mean over all rows is 1.


# %%
def inverse_weights(counts):
    return None  # your code


check("08-weights", inverse_weights)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def inverse_weights(counts):
#     return [sum(counts) / (len(counts) * count) for count in counts]
# ```
#
# The sum of n_c · 1/n_c over the classes is their number C. Divided by all N rows it must become 1, so multiply each
# 1/n_c by N/C.
# </details>
#
# In its basic form, *focal loss* ([Lin et al. 2017](https://arxiv.org/abs/1708.02002)) does not look at classes at all.
# It multiplies the loss of each row by (1 − p)^gamma, where p is the probability of the right label. So rows that the
# model already knows count less:

# %%
p = torch.tensor([0.95, 0.6, 0.1])  # the probability of the right label, of three rows
losses = {"p": p, "cross-entropy": -p.log(), "focal loss, gamma 2": -((1 - p) ** 2) * p.log()}
pd.DataFrame({name: column.tolist() for name, column in losses.items()}).round(3)

# %% [markdown]
# Only the last row keeps most of its loss. Rows of rare classes are often like it. But so are rows whose label is
# wrong.
#
# ## Move the boundary after training
#
# Weights need a new training. There is a way without one. A classifier learns two things at once: what speaks for a
# class in the text, and how frequent the class is. If a text leaves it in doubt, the frequency decides. The picture has
# two classes and one kind of evidence. Move tau, the strength of the correction:

# %%
explore(diagrams.boundary, tau=(-1.0, 2.0, 0.25))

# %% [markdown]
# The plain boundary is where both curves cross. It cuts the rare class in half, because left of it the frequent class
# still has more texts. *Logit adjustment* ([Menon et al. 2021](https://arxiv.org/abs/2007.07314)) subtracts tau times
# the *log prior* from the logits. The log prior is the logarithm of the class's share of the training rows. With tau =
# 1 the frequency no longer counts. A negative tau adds the log prior, and the boundary moves the other way.
#
# Read the numbers at the right: with tau = 1 the rare class has a higher recall and a lower precision, because more of
# its predictions are false alarms. There is no boundary without errors. You only choose which ones.
#
# By hand, on the dev logits of the plain model, it is three lines:

# %%
prior = counts / counts.sum()
adjusted = logits["plain"]["dev"] - 1.0 * prior.log()  # tau = 1
predicted = adjusted.argmax(-1)
difference = (adjusted - imbalance.adjust_logits(logits["plain"]["dev"], counts, tau=1.0)).abs().max()
print(f"{totals('dev', predicted)}; difference to the helper: {difference:.0e}")

# %% [markdown]
# Compare macro F1 with that of the plain model above. Now move tau yourself. Before you do: what will happen to the
# recall and to the precision of the first class, and to those of the last?


# %%
def at_tau(tau=1.0):
    predicted = imbalance.adjust_logits(logits["plain"]["dev"], counts, tau).argmax(-1)
    return [totals("dev", predicted), of_classes("dev", predicted)]


explore(at_tau, tau=(0.0, 2.0, 0.1))

# %% [markdown]
# As tau grows, the rarest class is predicted more often. Its recall can only rise, and sooner or later its precision
# falls. The recall of the most frequent class can only fall. Macro F1 often rises at first and then falls again. Where
# it is highest depends on the data.
#
# **Exercise.** By how many points does the recall of the rarest class, in the first line, change from tau = 0 to
# tau = 1?

# %%
recall_change = None  # your answer, from the table
check("08-recall", recall_change, gold["dev"], logits["plain"]["dev"], counts)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def recall(tau):
#     predicted = imbalance.adjust_logits(logits["plain"]["dev"], counts, tau).argmax(-1)
#     return 100 * metrics.per_class(gold["dev"], predicted, names)["recall"].iloc[rarest]
#
#
# recall_change = recall(1.0) - recall(0.0)
# ```
# </details>
#
# ## Choose on dev: gains that are too good
#
# `choose_tau` tries 21 values of tau and takes the one with the highest macro F1 on dev. That is one number. Instead,
# `tune_offsets` looks for a separate *offset* for each class, which works like a threshold for each class. It goes from
# class to class until macro F1 on dev does not improve any more. Both methods add a fixed number to the logit of each
# class:

# %%
tau = imbalance.choose_tau(logits["plain"]["dev"], gold["dev"], counts)
shifts = {
    "plain": torch.zeros(len(names)),
    f"tau = {tau:g}": -tau * imbalance.log_prior(counts),
    "an offset for each class": imbalance.tune_offsets(logits["plain"]["dev"], gold["dev"]),
}
pd.DataFrame({name: shift.numpy() for name, shift in shifts.items()}, names).iloc[shown].round(2)

# %% [markdown]
# The numbers of tau follow from the class sizes. How much do both gain? To see whether a gain on dev lasts, this
# section also scores test. (Nothing is chosen there.)


# %%
def macro(split, shift):
    return 100 * imbalance.macro_f1(gold[split], (logits["plain"][split] + shift).argmax(-1), len(names))


splits = ("dev", "test")
macros = pd.DataFrame({name: {split: macro(split, shift) for split in splits} for name, shift in shifts.items()}).T
macros.join((macros - macros.iloc[0]).add_prefix("gain on ")).round(1)

# %%
tau_name, offsets_name = list(shifts)[1:]
on_dev, on_test = (macros - macros.iloc[0]).T.to_dict()[offsets_name].values()
print(f"offsets: {on_dev:+.1f} points of macro F1 on dev, {on_test:+.1f} on test")
print(f"The rarest class has {of_splits['dev'][rarest]} dev rows and {of_splits['test'][rarest]} test rows.")

# %% [markdown]
# Compare the last two columns. The offsets can fit every accident of the dev rows, so their gain on dev is usually far
# larger than the one on test. Tau has less freedom, so it usually promises less and disappoints less. One run can be an
# exception; the measured table below has five seeds. In both lines the number on dev is too good to report, because the
# choice was made there. Even the gain on test is uncertain. Its 95 % interval, from a paired bootstrap over the test
# rows:

# %%
for name in (tau_name, offsets_name):
    pair = [(logits["plain"]["test"] + shift).argmax(-1) for shift in (shifts["plain"], shifts[name])]
    found = metrics.paired_bootstrap(gold["test"], *pair, "macro_f1", num_classes=len(names), seed=seed)
    difference, low, high = (100 * found[key] for key in ("difference", "low", "high"))
    print(f"{name}: {difference:+.1f} points of macro F1 on test, {low:+.1f} to {high:+.1f}")

# %% [markdown]
# If the interval contains 0, these rows do not show a gain.
#
# How does macro F1 change with tau? If dev and test peak at different places, you see how uncertain the choice is:

# %%
taus = [step / 10 for step in range(21)]
curve = {split: [macro(split, -tau * prior.log()) for tau in taus] for split in splits}
plots.run_curves(pd.DataFrame(curve, pd.Index(taus, name="tau")), "macro F1 (%)", over="tau")

# %% [markdown]
# One more thing changes: the probabilities. With tau = 1, the softmax is that of a world in which all classes are
# equally frequent. Your data is not such a world. The *calibration error* (lesson 3) is the average gap between
# confidence and accuracy:

# %%
for name in ("plain", tau_name):
    probabilities = (logits["plain"]["test"] + shifts[name]).softmax(-1).numpy()
    error = metrics.expected_calibration_error(gold["test"], probabilities, num_bins=10)
    print(f"{name}: calibration error {100 * error:.1f} points on test")

# %% [markdown]
# Take the prediction from the adjusted logits, and its probability from the plain ones.
#
# ## Correct in training
#
# The same correction can be a part of the loss. `logit_adjusted_loss` *adds* the log prior to the logits, but in the
# loss only. The frequency is then already accounted for, and the model learns the rest: what speaks for a class in the
# text. At prediction nothing is subtracted. (With tau = 1 this is also called *balanced softmax*, [Ren et al.
# 2020](https://arxiv.org/abs/2007.10740).) On one row:

# %%
row, target = logits["plain"]["dev"][:1], gold["dev"][:1]
by_hand = F.cross_entropy(row + imbalance.log_prior(counts), target)
# The lambda is a model that always returns these logits
as_model = partial(imbalance.logit_adjusted_loss, lambda: SimpleNamespace(logits=row), {"labels": target})
print(f"by hand {by_hand:.4f}, the helper {as_model(counts=counts):.4f}, plain {F.cross_entropy(row, target):.4f}")

# %% [markdown]
# The adjusted loss is above the plain one if the label is rarer than the classes that compete with it.
#
# A *balanced sampler* leaves the loss as it is, and repeats the rows of rare classes instead. An epoch keeps its number
# of rows, so some rows of frequent classes are left out. The parameter `method` chooses one of five trainings:

# %%
lengths = [len(example["input_ids"]) for example in examples["train"]]
sampler = imbalance.BalancedSampler(gold["train"], batch_size, lengths=lengths, seed=seed)
sampled = DataLoader(examples["train"], batch_sampler=sampler, collate_fn=batching.Collator(tokenizer.pad_token_id))
weighted = partial(imbalance.focal_loss, gamma=0.0)  # with gamma 0, focal loss is cross-entropy
trainings = {
    "logit_adjustment": (partial(imbalance.logit_adjusted_loss, counts=counts), dataloaders["train"]),
    "weights": (partial(weighted, class_weights=weights["inverse"]), dataloaders["train"]),
    "root_weights": (partial(weighted, class_weights=weights["square root"]), dataloaders["train"]),
    "focal_loss": (partial(imbalance.focal_loss, gamma=2.0), dataloaders["train"]),
    "balanced_sampler": (objectives.cross_entropy, sampled),
}
method_model, logits[method] = train(*trainings[method])

# %% [markdown]
# The F1 of each class on dev, in percent, for the plain model, the plain model with tau, and the second training:

# %%
answers = {"plain": logits["plain"]["dev"], tau_name: logits["plain"]["dev"] + shifts[tau_name]}
answers[method] = logits[method]["dev"]
f1 = {name: imbalance.f1_per_class(gold["dev"], x.argmax(-1), len(names)).numpy() for name, x in answers.items()}
for name, x in answers.items():
    print(f"{name}, {totals('dev', x.argmax(-1))}")
(100 * pd.DataFrame(f1, names)).iloc[shown].round(1).assign(**{"dev rows": of_splits["dev"][shown]})

# %% [markdown]
# Is the second training better than one subtraction after the first? On few rows, a difference of a few points says
# nothing, and tau was chosen on these very rows; the table in the next section has five seeds. Look at the last line as
# well: what do the frequent classes pay?
#
# Try a message of your own with all three. (Only the plain bars are meant as probabilities of your data.)


# %%
def three_models(text):
    plain = logits_of(text, plain_model)
    rows = {"plain": plain, tau_name: plain + shifts[tau_name], method: logits_of(text, method_model)}
    return plots.class_probabilities(pd.DataFrame([x.softmax(-1).tolist() for x in rows.values()], [*rows], names))


explore(three_models, text=request)

# %% [markdown]
# ## What pays: the measured table
#
# Each line has the scores on the test split of the messages to the shop, in percent: the mean over five seeds ±
# standard deviation (the first three lines need no seed). All encoders were trained for five epochs, with equally many
# updates. The last two lines are the plain models, with a tau or offsets chosen on dev. "Rarest" is the mean F1 of the
# three rarest classes. The calibration error is in points, without and with a temperature that was fitted on dev
# ("scaled").

# %%
shop = load_splits("intents")
shop_gold, shop_names = shop["test"]["label"][:], shop["test"].features["label"].names
shop_counts = imbalance.count_labels(shop["train"]["label"][:], len(shop_names))
rare = [f"per_class.{shop_names[i]}" for i in imbalance.rarest_classes(shop_counts, 3)]
columns = {"weighted F1": ["test.weighted_f1"], "macro F1": ["test.macro_f1"], "rarest": rare}
columns |= {"calibration": ["calibration.error"], "scaled": ["calibration.error after temperature scaling"]}


def means(row):
    runs = pd.json_normalize(results.runs("intents", row))
    return {"seeds": len(runs)} | {
        name: results.mean_sd(100 * runs[keys].mean(axis=1)) for name, keys in columns.items()
    }


pd.DataFrame({row: means(row) for row in results.table_rows("intents") if results.runs("intents", row)}).T

# %% [markdown]
# Which differences are real? Compare the macro F1 of each line with that of the plain model, seed by seed on the same
# test rows, in points. The 95 % interval, "low" to "high", covers other seeds and other test rows. With so many
# comparisons, one could look good by chance, so *Holm's* correction makes the p-values larger (but not the intervals
# wider).


# %%
def against_plain(row):
    plain, other = (results.predictions("intents", name) for name in ("plain", row))
    seeds = sorted(set(plain) & set(other))
    if row == "plain" or len(seeds) < 2:  # a single run says nothing about other seeds
        return None
    pair = ([runs[seed] for seed in seeds] for runs in (plain, other))
    return metrics.compare_runs(shop_gold, *pair, "macro_f1", num_classes=len(shop_names))


found = {row: against_plain(row) for row in results.table_rows("intents")}
gains = pd.DataFrame({row: test for row, test in found.items() if test}, ["difference", "low", "high"]).T * 100
p_values = metrics.holm([max(test["p_bootstrap"], test["p_permutation"]) for test in found.values() if test])
gains["p (Holm)"] = p_values
is_shown = gains["p (Holm)"] < 0.05
gains["verdict"] = np.where(is_shown, np.where(gains["difference"] > 0, "pays", "costs"), "no difference shown")
gains.round({"difference": 1, "low": 1, "high": 1, "p (Holm)": 3})

# %% [markdown]
# "No difference shown" is a result too: the method may help or harm by as much as its interval says, and the runs
# cannot tell. None of these methods makes training noticeably slower. So if several pay, choose among them on your own
# dev split. If none does, prefer a tau after training, because it can be changed later. Look at the line "weights and
# balanced sampler" as well, which "What goes wrong" explains. Reproduce the table with `nbhelpers results intents`.
#
# <details><summary>What the authors report</summary>
#
# In [the paper's code](https://github.com/google-research/google-research/tree/master/logit_adjustment), accuracy on
# CIFAR-10-LT, pictures with very unequal classes, rises from 71.4 to 77.3 % with logit adjustment after training and to
# 77.9 % in training. The test set there has equally frequent classes, which is what the correction aims at. Your test
# set probably has the frequencies of train.
# </details>
#
# ## More data from the data you have
#
# If rows are few, can you make more? *Augmentation* adds changed copies of training texts, with the same label. Here
# are five operations on one text; the first four are those of *EDA* ([Wei and Zou
# 2019](https://arxiv.org/abs/1901.11196)). Type a text of your own, and judge each copy: would you still give it the
# same label?

# %%
operations = {
    "synonyms": augmentation.replace_synonyms,
    "insertion": augmentation.insert_synonyms,
    "swap": augmentation.swap_words,
    "deletion": augmentation.delete_words,
    "typos": augmentation.make_typos,
}


def copies_of(text, alpha=0.2):
    copies = {name: operation(text, random.Random(seed), alpha=alpha) for name, operation in operations.items()}
    return pd.DataFrame({"text": {"the text": text, **copies}})


# %%
# The example has a negation, and as many operations as possible change it
with_negation = [t for t in texts["train"] if "not" in augmentation.breaks_label(t, "")] or texts["train"]
num_changed = {t: (copies_of(t)["text"] != t).sum() for t in with_negation}
example = max(with_negation, key=lambda t: (num_changed[t], -abs(len(t) - 90)))
explore(copies_of, text=example, alpha=(0.05, 0.5, 0.05))

# %% [markdown]
# `alpha` is the share of words to change, and at least one word is changed. A pretrained encoder knows most synonyms
# already. Insertion, swap and deletion mostly make texts that nobody would write.
#
# A sixth operation, `replace_masked_words`, hides words and lets a language model propose others. It needs a model with
# its masked-language head, such as roberta-base. The embedded encoder has none, so its words would be random. The
# proposals fit the sentence, but not always the label: for "I ___ it" a model may propose *love* and *hate*.
#
# ### Labels that break
#
# A copy gets the label of its text. But "I do not want it" without its *not* says the opposite. The operations leave
# negations alone unless you pass other `protected` words. How often would a copy lose or gain one? The table has copies
# of training texts with a negation, and says how many percent are broken. The right half is for *emotion words* such as
# "awful", which are protected only if you ask for it.

# %%
sample = texts["train"][:300]


def percent_broken(operation, words, protected):
    operation = partial(operation, protected=protected)
    result = augmentation.augment(sample, [0] * len(sample), operation, seed=seed)
    pairs = [(sample[source], copy) for source, copy in zip(result.sources, result.texts, strict=True)][len(sample) :]
    at_risk = [pair for pair in pairs if augmentation.breaks_label(pair[0], "", words)]  # it has such a word
    return pd.Series([bool(augmentation.breaks_label(*pair, words)) for pair in at_risk], dtype=float).mean() * 100


# %%
word_lists = {"negations": augmentation.NEGATIONS, "emotion words": augmentation.EMOTION_WORDS}
broken = {
    (kind, "protected" if protected else "not protected"): {
        name: percent_broken(operation, words, words if protected else ()) for name, operation in operations.items()
    }
    for kind, words in word_lists.items()
    for protected in (False, True)
}
pd.DataFrame(broken).round(1)

# %% [markdown]
# Protected words are never touched, so these columns are 0. In the others, the numbers depend on the operation. A swap
# moves a word, which this count does not see. The list of synonyms has no negations, but many emotion words. "Terrible"
# for "awful" breaks nothing, so the count is an upper limit there. Does a lost negation break *your* label? In a review
# it often does. In a message to a shop it may not: "my parcel has not come" is about the order status, with or without
# its *not*. Decide which words carry your labels, protect them, and read twenty copies.
#
# **Exercise.** Count broken copies by hand. You get a list of texts, a list of their copies, and a list of protected
# words. Words are separated by spaces, and a capital letter makes no difference. A copy is broken if a protected word
# was lost or added.


# %%
def count_broken(texts, copies, protected):
    return None  # your code


check("08-broken", count_broken)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def count_broken(texts, copies, protected):
#     def kept(text):
#         return sorted(word for word in text.lower().split() if word in protected)
#
#     return sum(kept(text) != kept(copy) for text, copy in zip(texts, copies, strict=True))
# ```
# </details>
#
# ### Mixup: between two texts
#
# Texts cannot be averaged, but their vectors can. *Mixup* ([Zhang et al. 2018](https://arxiv.org/abs/1710.09412)) takes
# the pooled vectors of two texts, mixes them in a random ratio, and asks the head for both labels in the same ratio. In
# five lines, with a head that only multiplies by 3:

# %%
first, second, share = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.7  # two vectors, of classes 0 and 1
mixed = share * first + (1 - share) * second
mixed_logits = 3 * mixed
losses = [F.cross_entropy(mixed_logits, torch.tensor(i)) for i in (0, 1)]
loss = share * losses[0] + (1 - share) * losses[1]
print(f"mixed vector {[round(x, 1) for x in mixed.tolist()]}, loss {loss:.3f}")

# %% [markdown]
# This loss is lowest, at 0.611, where the head gives the two classes 70 and 30 %. The helper `augmentation.mixup` does
# this for a batch. It is an objective, like the losses above.
#
# ### What augmentation brought
#
# The table has weighted F1 on test, in percent, for few and for many training rows of each class. A copy of each text
# doubles the training rows, and so the updates. To be fair, compare with "twice the epochs", which makes as many
# updates without new texts. (Mixup also has twice the epochs.) AG News is a corpus of real news.

# %%
summary = results.summary("augmentation").reindex(columns=["row", "weighted F1", "difference"], fill_value="")
parts = summary["row"].str.split(", ", n=2, expand=True).fillna("plain")
summary["rows"], summary["training"] = parts[0] + ", " + parts[1], parts[2]
pivot = summary.pivot(index="rows", columns="training", values="weighted F1")
pivot.loc[summary["rows"].unique(), summary["training"].unique()]

# %% [markdown]
# Which lines differ from "twice the epochs", after Holm's correction? ("Twice the epochs" itself is compared with the
# plain line.)

# %%
tested = {row: test for row, test in results.tests("augmentation").items() if "p_holm" in test}
real = {row: test for row, test in tested.items() if test["p_holm"] < 0.05}
print(f"{len(real)} of {len(tested)} comparisons show a difference of weighted F1, in points")
pd.DataFrame({row: {"gain": results.comparison(test), "against": test["against"]} for row, test in real.items()}).T

# %% [markdown]
# A line that is missing here shows no difference, and you can leave its method out. In general, expect less from
# augmentation with a pretrained encoder than with a model that starts from scratch: the encoder has read synonyms and
# typing errors already.
#
# <details><summary>What others report</summary>
#
# The authors of EDA report substantial gains [below 500 rows](https://github.com/jasonwei20/eda_nlp). For BERT, XLNet
# and RoBERTa, [Longpre et al. 2020](https://arxiv.org/abs/2010.01764) find no consistent gain, even where rows are few.
# </details>
#
# ## What goes wrong
#
# ### Weights and a balanced sampler together
#
# Each of the two corrects for the whole imbalance. With both, it is corrected twice. The share of each class in the
# loss, if all rows had the same loss, in percent:

# %%
repeats = torch.tensor([sampler.repeats[i] for i in range(len(names))])
ways = {"plain": counts * 1.0, "weights": counts * weights["inverse"], "sampler": counts * repeats}
ways["both"] = counts * weights["inverse"] * repeats
pd.DataFrame({name: (100 * w / w.sum()).tolist() for name, w in ways.items()}, names).iloc[shown].round(1)

# %% [markdown]
# With both, the imbalance is back, turned upside down: the rarest class has the largest share. (Only equally frequent
# classes have equal shares in every column.) The measured table above shows what that does to the scores.
#
# ### The adjustment applied twice
#
# A model that was trained with logit adjustment needs no other correction. But code for prediction that was written
# for a plain model subtracts the log prior again. `applied_tau` finds out: it estimates from labeled rows such as dev
# how far logits are adjusted already.

# %%
stages = {"plain": logits["plain"]["dev"], f"{method}": logits[method]["dev"]}
stages["plain, adjusted once"] = imbalance.adjust_logits(stages["plain"], counts)
stages["plain, adjusted twice"] = imbalance.adjust_logits(stages["plain, adjusted once"], counts)
stages[f"{method}, adjusted once more"] = imbalance.adjust_logits(stages[method], counts)
rows = {}
for name, x in stages.items():
    rows[name] = {"applied tau": imbalance.applied_tau(x, gold["dev"], counts)}
    rows[name]["macro F1 (%)"] = 100 * imbalance.macro_f1(gold["dev"], x.argmax(-1), len(names))
    rows[name]["predicted as the rarest class"] = (x.argmax(-1) == rarest).sum().item()
pd.DataFrame(rows).T.map("{:.3g}".format)

# %% [markdown]
# About 0 is a plain model, 1 an adjusted one, and 2 was adjusted twice. Compare the last column with the number of dev
# rows of this class. The estimate is rough if the rare classes have few rows or if the model has hardly learned
# anything, and it means nothing if all classes are equally frequent. Check it once before you adjust, and write it into
# the model card.
#
# ### Weights and gradient accumulation
#
# `torch.nn.CrossEntropyLoss(weight=...)` divides by the sum of the *weights* in the batch, not by the number of rows.
# In one large batch that is nearly harmless. With gradient accumulation each small batch has another sum. Four rows by
# hand, where the last one is rare and has a large loss:

# %%
loss_of_row = torch.tensor([0.2, 0.2, 0.2, 2.0])
weight_of_row = imbalance.inverse_frequency_weights([3, 1])[[0, 0, 0, 1]]  # 0.67 and 2
weighted_loss = loss_of_row * weight_of_row
parts = {"all four": slice(0, 4), "rows 1 and 2": slice(0, 2), "rows 3 and 4": slice(2, 4)}
table = {"divided by weights": {name: weighted_loss[x].sum() / weight_of_row[x].sum() for name, x in parts.items()}}
table["divided by rows"] = {name: weighted_loss[x].mean() for name, x in parts.items()}
table = pd.DataFrame(table).T.astype(float)
table.assign(**{"mean of the halves": table.iloc[:, 1:].mean(axis=1)}).round(3)

# %% [markdown]
# Divided by rows, the mean of the halves is the loss of the whole batch. Divided by weights, it is not: in the second
# half the rare row makes its own divisor larger, so it counts less than it should. So the same settings with more
# `gradient_accumulation_steps` and smaller batches train another model. The objectives of `imbalance` divide by rows.
#
# ### Weights and label smoothing
#
# *Label smoothing* moves a part of the target, here 10 %, from the label to all classes. Together with weights, torch
# multiplies each part of the target by the weight of *its* class ([issue
# 104776](https://github.com/pytorch/pytorch/issues/104776)). The table has both targets for a row of the frequent
# class, with 9 rows of one class and 1 of another. A gradient of about 0 shows that torch's loss is lowest there:

# %%
w = imbalance.inverse_frequency_weights([9, 1])  # 0.56 and 5
meant = torch.tensor([0.95, 0.05])  # half of the 10 % stays with the label
of_torch = meant * w / (meant * w).sum()
best = of_torch.log().requires_grad_()
F.cross_entropy(best[None], torch.tensor([0]), weight=w, label_smoothing=0.1, reduction="sum").backward()
print(f"gradient of torch's loss at its own target: {best.grad.abs().max():.0e}")
pd.DataFrame({"meant": meant.tolist(), "torch": of_torch.tolist()}, ["frequent class", "rare class"]).T.round(2)

# %% [markdown]
# For torch, the best model gives a clear row of the frequent class a probability of 32 % for the rare class.
# `objectives.cross_entropy` gives the whole row the weight of its label, so the target stays as it was meant.
#
# ### SMOTE on token ids
#
# *SMOTE* ([Chawla et al. 2002](https://doi.org/10.1613/jair.953)) makes new rows of a rare class: it takes a row and
# one of its nearest neighbors of the same class, and puts a new row somewhere on the line between them. Some tutorials
# apply it to token ids. But an id is only a place in a list: halfway between the ids of "refund" and "please" is an
# unrelated word. See what comes out:

# %%
from imblearn.over_sampling import SMOTE

longest = max(lengths)
ids = np.array([e["input_ids"] + [tokenizer.pad_token_id] * (longest - len(e["input_ids"])) for e in examples["train"]])
target = int(counts.float().median())  # smaller classes are filled up to this number
strategy = {i: max(target, n + 3) for i, n in enumerate(counts.tolist()) if 2 <= n <= target}  # SMOTE needs two rows
neighbors = min([5, *(counts[i].item() - 1 for i in strategy)])
smote = SMOTE(sampling_strategy=strategy, k_neighbors=neighbors, random_state=seed)
new_ids, labels_of_ids = smote.fit_resample(ids, gold["train"].numpy())
made = new_ids[len(ids) :]
pd.DataFrame({"made by SMOTE": [tokenizer.decode(row, skip_special_tokens=True) for row in made[:3]]})

# %%
used = set(ids.flatten().tolist())
strange = np.mean([token not in used for row in made for token in row.tolist() if token != tokenizer.pad_token_id])
print(f"{len(made)} new rows; {100 * strange:.0f} % of their tokens are in no training text")

# %% [markdown]
# Where does SMOTE make sense? On numbers whose differences mean something, such as the vectors of a *frozen* encoder
# with a simple classifier on top, and on the training rows alone, after the split. `TextVectors` runs the encoder up to
# the pooling ([lesson 3](03_baseline.ipynb)):


# %%
class TextVectors(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = encoders.load(encoder, names)[1].base_model

    def forward(self, input_ids, attention_mask):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        # `training.predict` collects what is called logits
        return SimpleNamespace(logits=encoders.mean_over_text(hidden, attention_mask))


frozen = TextVectors().to(device)


def vectors_of(examples):
    loader = batching.make_dataloader(examples, tokenizer.pad_token_id, batch_size=64, shuffle=False)
    return training.predict(frozen, loader, precision=precision).numpy()


# %%
from sklearn.linear_model import LogisticRegression

vectors = {split: vectors_of(part) for split, part in examples.items()}
nonsense = vectors_of([{"input_ids": [int(i) for i in row if i != tokenizer.pad_token_id]} for row in made])
labels = gold["train"].numpy()
rows = {"train as it is": (vectors["train"], labels), "class weights": (vectors["train"], labels)}
rows["SMOTE on vectors"] = smote.fit_resample(vectors["train"], labels)
rows["SMOTE on token ids"] = (np.concatenate([vectors["train"], nonsense]), labels_of_ids)
table = {}
for name, training_rows in rows.items():
    class_weight = "balanced" if name == "class weights" else None
    classifier = LogisticRegression(class_weight=class_weight, max_iter=2000).fit(*training_rows)
    predicted = {split: torch.tensor(classifier.predict(vectors[split])) for split in splits}
    table[name] = {f"{x} macro F1 (%)": 100 * imbalance.macro_f1(gold[x], predicted[x], len(names)) for x in splits}
pd.DataFrame(table).T.round(1)

# %% [markdown]
# Compare SMOTE on vectors with class weights: if they are about equal, take the weights, which need no new rows. The
# nonsense of the last line teaches nothing about texts. Any gain there comes from rare classes that count more, as with
# weights, or from chance.
#
# ### Augmenting before the split
#
# Some scripts augment the whole file first and split it afterwards. Then versions of one text are in train and in dev.
# The next cells do it both ways, with two copies of each text with typing errors. The model only looks up the most
# similar training text (one nearest neighbor on TF-IDF), so it learns nothing about the task.

# %%
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline


def accuracy(train_rows, dev_rows):
    model = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3)), KNeighborsClassifier(1))
    return 100 * model.fit(*train_rows).score(*dev_rows)


def augmented(rows):
    picked = ([texts["train"][row] for row in rows], gold["train"][rows].tolist())
    result = augmentation.augment(*picked, augmentation.make_typos, num_copies=2, seed=seed)
    return result.texts, result.labels, [int(rows[source]) for source in result.sources]


# %%
order = np.random.default_rng(seed).permutation(min(500, len(texts["train"])))
cut = len(order) * 4 // 5
everything = list(zip(*augmented(order), strict=True))
random.Random(seed).shuffle(everything)  # and then split: the mistake
leaky_train, leaky_dev = (list(zip(*part, strict=True)) for part in (everything[: 3 * cut], everything[3 * cut :]))
right_train = augmented(order[:cut])  # split, and then augment train
right_dev = [texts["train"][row] for row in order[cut:]], gold["train"][order[cut:]].tolist()
print(f"augmented, then split: accuracy {accuracy(leaky_train[:2], leaky_dev[:2]):.1f} %")
print(f"split, then augmented: accuracy {accuracy(right_train[:2], right_dev):.1f} %")

# %% [markdown]
# The difference is pure illusion. The helper keeps the row that each copy comes from, so a leak is easy to find:

# %%
augmentation.check_no_leak(right_train[2], order[cut:].tolist())  # no error: nothing leaks
try:
    augmentation.check_no_leak(leaky_train[2], leaky_dev[2])
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# ## Exercises
#
# A wrong answer gets a hint, which grows with each try.
#
# **1.** For a text of a rare class, the logit of this class is lower by `gap` than that of the frequent class, so the
# model predicts the frequent one. From which tau on does the rare class win? You also get the training rows of both
# classes.


# %%
def needed_tau(gap, frequent, rare):
    return None  # your code


check("08-tau", needed_tau)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def needed_tau(gap, frequent, rare):
#     return gap / math.log(frequent / rare)
# ```
# </details>
#
# **2.** Find a leak. You get two lists: for each row of train and of dev, the number of the text that it comes from.
# Return how many rows of dev come from a text that is also in train.


# %%
def count_leaks(train_sources, dev_sources):
    return None  # your code


check("08-leak", count_leaks)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def count_leaks(train_sources, dev_sources):
#     seen = set(train_sources)
#     return sum(source in seen for source in dev_sources)
# ```
# </details>
#
# ## Quiz
#
# Three questions on this lesson:

# %%
quiz("08-twice")
quiz("08-offsets")
quiz("08-split")

# %% [markdown]
# ## Recap
#
# - Look at macro F1 and at each class. Weighted F1 hardly notices a class that is never found.
# - Weights, logit adjustment and a balanced sampler all correct for the imbalance. Use one of them.
# - A tau chosen on dev needs no training and can be changed later. Only a table over several seeds shows whether a
#   method in training brings more.
# - What was chosen on dev looks better there than it is. The fewer rows a class has, the larger is this illusion.
# - Augment train alone, protect the words that carry the label, and compare at equal updates.
#
# Next: [lesson 9](09_adversarial.ipynb) asks how much typing errors and other small changes harm a model. The last cell
# has the number that `nbhelpers run` shows for this lesson: the gain of tau in macro F1 on test, in points.

# %%
headline("points of macro F1 by tau", macros.loc[tau_name, "test"] - macros.loc["plain", "test"])
