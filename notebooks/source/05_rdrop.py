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
# # 5. R-Drop: two passes that should agree
#
# *"If you like to wait, this is the place. Eighty minutes for two pizzas."* While a model is being trained, it may read
# this review twice within a second, and call it negative once and positive once. Neither the text nor the weights have
# changed in between. Only *dropout* has, which switches off random parts of the model. R-Drop ([Liang et al.
# 2021](https://arxiv.org/abs/2106.14448)) teaches a model to agree with itself. Its authors report 71.1 % accuracy on
# the data set RTE, and a reader who ran their code got 66.4 ([issue 30](https://github.com/dropreg/R-Drop/issues/30)).
# So how do you find out whether R-Drop is worth twice the computation?
#
# After this lesson you can
#
# - train with R-Drop by one formula, and convert the alpha of other code to it,
# - compare a method that computes twice as much fairly: at equal updates and at equal time,
# - recognize, by a number, the mistakes that R-Drop code often has.
#
# You should know what logits, cross-entropy and an epoch are; [lesson 3](03_baseline.ipynb) explains them.
#
# <!-- facts -->
# Measured: default profile 54 s, 2.4 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | Dropout: the same text, another prediction | 3 |
# | The idea: passes should agree | 3 |
# | Train with R-Drop | 3 |
# | Equal updates, equal time | 2 |
# | Confidence and calibration | 1 |
# | One pass or two | 2 |
# | What goes wrong | 4 |
# | Where this stands: MELD | 1 |
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
# The picture shows how a text becomes probabilities ([lesson 3](03_baseline.ipynb) has the details). This lesson is
# about the two blue steps: in the encoder, dropout switches numbers off, and after the softmax, R-Drop compares two
# predictions for the same text.

# %%
from nbhelpers.course.lesson import LiveTraining, check, diagrams, explore, headline, load_splits, quiz, results

diagrams.path(["encoder", "softmax"])

# %%
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import transformers
from torch.nn import functional as F

from nbhelpers import batching, corpora, encoders, environment, metrics, objectives, plots, training
from nbhelpers.course.stopwatch import Stopwatch

transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show

# %% [markdown]
# What can be set in this lesson:

# %% cellView="form" tags=["parameters"]
# @markdown "reviews" or "dialogues" (included in the course), "meld", or a file or folder with text and label.
corpus = "reviews"  # @param {type: "string"}
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
# @markdown Number of passes over the training data; R-Drop at equal time gets half of them.
num_epochs = 4  # @param {type: "integer"}
# @markdown Weight of the KL term as the paper defines it. The paper tried 0.1 to 1.0 in far longer training on GLUE.
alpha = 10.0  # @param {type: "number"}
# @markdown Peak learning rate of the encoder (the head has ten times as much); roberta-large needs about 0.00001.
lr = 2e-4  # @param {type: "number"}
# @markdown Largest number of texts in a batch.
batch_size = 8  # @param {type: "integer"}
# @markdown Longer texts are truncated to this many tokens.
max_length = 128  # @param {type: "integer"}
# @markdown Use only this many rows of each split; 0 uses all.
num_rows = 80  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# Load the corpus, shuffle it, and take the first rows of each split:

# %%
data = load_splits(corpus, text=text, label=label, dialogue=dialogue, seed=seed)
sizes = {split: min(num_rows or len(part), len(part)) for split, part in data.items()}
data = {split: part.shuffle(seed=seed).select(range(sizes[split])) for split, part in data.items()}
names = data["train"].features["label"].names
gold = {split: part["label"][:] for split, part in data.items()}
sizes

# %% [markdown]
# One run on so few texts shows how each part works. It proves nothing about the method; the table near the end, with
# five runs on a larger corpus, says more.
#
# ## Dropout: the same text, another prediction
#
# During training, *dropout* sets each number in a layer to zero with a certain probability, often 10 %. So no part of
# the model can rely on another part always being there. The numbers that stay are made larger, so that the sum is the
# same on average. Here are eight ones, in two passes with a dropout of 50 % and once in evaluation mode:

# %%
environment.set_seed(seed)
dropout, ones = torch.nn.Dropout(0.5), torch.ones(8)
shown = {"pass 1": dropout(ones), "pass 2": dropout(ones), "evaluation": dropout.eval()(ones)}
pd.DataFrame({name: numbers.tolist() for name, numbers in shown.items()}).T

# %% [markdown]
# Each pass has its own zeros. In evaluation mode dropout does nothing.
#
# Most encoders have dropout in every layer. What does that do to a prediction? To see it, a model must have learned
# something first. The next cells prepare and train a plain one, as in lesson 3.

# %%
device = environment.best_device()
precision, _ = environment.best_precision(device)
tokenizer = corpora.normalizing_tokenizer(encoders.load(encoder, names)[0])  # cleans texts as the corpus was cleaned
collator = batching.Collator(tokenizer.pad_token_id)
examples, dataloaders = {}, {}
for split, part in data.items():
    examples[split] = batching.tokenize(part["text"][:], tokenizer, labels=gold[split], max_length=max_length)
    options = {"batch_size": batch_size, "shuffle": split == "train", "seed": seed}
    dataloaders[split] = batching.make_dataloader(examples[split], tokenizer.pad_token_id, **options)
print(f"{len(dataloaders['train'])} batches in an epoch; on {device.type} in {precision}")


# %%
def make_batch(examples):
    return {name: tensor.to(device) for name, tensor in collator(examples).items()}


def new_model(**options):
    environment.set_seed(seed)  # the same random head each time
    model = encoders.load(encoder, names, pooling=pooling, **options)[1].to(device)
    encoders.use_fast_layers(model, device, precision)
    return model


# %% [markdown]
# The next function computes several passes at once: it repeats each text of the batch. Each copy gets its own dropout
# if the model is in training mode.


# %%
def logits_of_passes(model, batch, num_passes=2):
    copies = {name: tensor.repeat(num_passes, 1).to(device) for name, tensor in batch.items() if name != "labels"}
    with torch.no_grad(), training.autocast(device, precision):
        logits = model(**copies).logits.float()
    return logits.reshape(num_passes, -1, len(names))  # [passes, texts, classes]


# %% [markdown]
# Two things are measured on dev after each epoch: the score, and how far two passes disagree. The measure of
# disagreement is called KL; the next section explains it. The clock is stopped meanwhile.


# %%
def kl_of_two_passes(model):
    total = 0.0
    with torch.random.fork_rng():  # measuring must not change the random numbers of the training
        torch.manual_seed(seed)  # the same masks each time
        for batch in dataloaders["dev"]:
            first, second = logits_of_passes(model.train(), batch).cpu()
            total += objectives.symmetric_kl(first, second, batch["labels"]).item() * len(batch["labels"])
    return total / len(examples["dev"])


def after_epoch(model, watch, curve):
    with watch.paused():
        predicted = training.predict(model, dataloaders["dev"], precision=precision).argmax(-1)
        score = metrics.scores(gold["dev"], predicted, len(names))["weighted_f1"]
        curve.append({"weighted F1 on dev": 100 * score, "KL of two passes": kl_of_two_passes(model)})
    print(f"epoch {len(curve)}: " + ", ".join(f"{name} {value:.3g}" for name, value in curve[-1].items()))
    return score


# %% [markdown]
# `train` trains one model and keeps what was measured. The learning rate rises during the first tenth of the updates
# and then follows half a *cosine* wave down to zero. Training stops early if two epochs in a row (`patience`) improve
# the dev score by no more than `threshold`. The weights of the best epoch are kept.

# %%
runs, curves, logits = {}, {}, {}  # an entry for each run; a run with the same name replaces the earlier one


def train(name, objective, num_epochs):
    model, watch, curve = new_model(), Stopwatch(), []
    optimizer = training.make_optimizer(model, lr, head_lr=10 * lr)
    num_updates = num_epochs * len(dataloaders["train"])
    scheduler = training.make_scheduler(optimizer, num_updates, schedule="cosine", warmup_ratio=0.1)
    settings = {"num_epochs": num_epochs, "precision": precision, "patience": 2, "threshold": 0.001}
    settings |= {"evaluate": partial(after_epoch, watch=watch, curve=curve), "log": LiveTraining(num_epochs)}
    training.fit(model, dataloaders["train"], objective, optimizer, scheduler, **settings)
    seconds = watch.seconds()
    curves[name] = {epoch: row["KL of two passes"] for epoch, row in enumerate(curve, start=1)}
    runs[name] = max(curve, key=lambda row: row["weighted F1 on dev"]) | {"seconds": seconds}
    logits[name] = {
        split: training.predict(model, dataloaders[split], precision=precision) for split in ("dev", "test")
    }
    return model


# %%
kl_at_start = kl_of_two_passes(new_model())  # first, because the first use of a model is slower than all others
plain = train("plain", objectives.cross_entropy, num_epochs)

# %% [markdown]
# Now look at thirty passes for each of three dev texts. Of all dev texts, texts 1 and 2 have the lowest *confidence*
# (the probability of the predicted class), and text 3 the highest. Each dot is one pass; only its dropout differs from
# that of the others.

# %%
by_confidence = logits["plain"]["dev"].softmax(-1).amax(-1).argsort().tolist()
shown_rows = [by_confidence[0], by_confidence[1], by_confidence[-1]]
shown_texts = [data["dev"]["text"][row] for row in shown_rows]
shown_batch = make_batch([examples["dev"][row] for row in shown_rows])
pass_logits = logits_of_passes(plain.train(), shown_batch, 30).cpu()
passes = pass_logits.softmax(-1).numpy()  # [passes, texts, classes]
plots.dropout_spread(passes, shown_texts, names)

# %% [markdown]
# If the dots of a text are far apart, its prediction depends on which numbers happen to be switched off. At evaluation
# dropout is off and there is a single prediction. Plain training compares a pass with the label, but never with another
# pass.
#
# **Exercise.** Look at text 1. For each class, subtract its smallest probability over the passes from its largest. What
# is the largest of these differences, in points? You may read it from the picture, so a tenth more or less is right as
# well.

# %%
points = None  # your answer, from the picture or from `passes` [passes, texts, classes]
check("05-passes", points, passes)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# of_text_1 = 100 * passes[:, 0]  # [passes, classes]
# points = (of_text_1.max(0) - of_text_1.min(0)).max()
# ```
# </details>
#
# Now try a text of your own. Can you find one whose dots are far apart? A text that says two things at once may do it,
# but need not.


# %%
def passes_of(text):
    batch = make_batch(batching.tokenize([text], tokenizer, max_length=max_length))
    probabilities = logits_of_passes(plain.train(), batch, 30).softmax(-1).cpu()
    return plots.dropout_spread(probabilities.numpy(), [text], names)


explore(passes_of, text="The battery died after a week, but they were so kind about it.")

# %% [markdown]
# ## The idea: passes should agree
#
# R-Drop sends each training text through the model twice, and adds a term to the loss that is large if the two
# predictions differ:

# %%
diagrams.two_passes()

# %% [markdown]
# How different are two predictions p and q? The *Kullback-Leibler divergence* (KL) measures it: KL(p || q) is the sum
# over the classes of p (log p − log q), with the natural logarithm. Here are three pairs of predictions for two
# classes:


# %%
def kl(p, q):
    return (p * (np.log(p) - np.log(q))).sum()


pairs = {"equal": ([0.6, 0.4], [0.6, 0.4]), "close": ([0.6, 0.4], [0.5, 0.5]), "far": ([0.9, 0.1], [0.5, 0.5])}
both_ways = {name: (kl(np.array(p), np.array(q)), kl(np.array(q), np.array(p))) for name, (p, q) in pairs.items()}
pd.DataFrame(both_ways, ["KL(p || q)", "KL(q || p)"]).T.assign(mean=lambda table: table.mean(axis=1)).round(3)

# %% [markdown]
# The KL is 0 if both predictions are equal, and it has no upper limit. Exchanging p and q changes it, so R-Drop takes
# the mean of both directions.
#
# **Exercise.** Compute this mean for one text, from logits. You get two lists, for instance `[2.0, 0.5, -1.0]` and
# `[0.0, 0.0, 0.0]`. Return (KL(p || q) + KL(q || p)) / 2 of their softmax.


# %%
def symmetric_kl(first, second):
    return None  # your code


check("05-kl", symmetric_kl)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def symmetric_kl(first, second):
#     p, q = ([math.exp(x) / sum(map(math.exp, logits)) for x in logits] for logits in (first, second))
#     return sum((a - b) * (math.log(a) - math.log(b)) for a, b in zip(p, q)) / 2
# ```
#
# Σ p (log p − log q) + Σ q (log q − log p) is Σ (p − q) (log p − log q), so one line computes both directions.
# </details>
#
# This is the loss of the paper, and the only formula that the course uses:
#
#     loss = CE_1 + CE_2 + alpha * (KL(p || q) + KL(q || p)) / 2
#
# CE_1 and CE_2 are the cross-entropies of the two passes, and alpha is the weight of the new term. Each term is summed
# over the classes and *averaged over the texts*. In code:


# %%
def r_drop_by_hand(model, batch):
    first, second = (objectives.compute_logits(model, batch, "labels") for _ in range(2))  # two passes
    log_p, log_q = first.log_softmax(-1), second.log_softmax(-1)
    kl = (log_p.exp() * (log_p - log_q) + log_q.exp() * (log_q - log_p)).sum(-1).mean()  # both directions
    ce = F.cross_entropy(first, batch["labels"]) + F.cross_entropy(second, batch["labels"])  # CE_1 + CE_2
    return ce + alpha * kl / 2


# %% [markdown]
# The helper `objectives.r_drop` adds what real training needs. It leaves out positions without a label, uses plain
# cross-entropy at evaluation, and refuses a model without dropout. With the same dropout, both give the same loss:

# %%
batch = make_batch(examples["dev"][:8])
two_forward_passes = partial(objectives.r_drop, alpha=alpha, one_forward_pass=False)
for name, objective in (("by hand", r_drop_by_hand), ("objectives.r_drop", two_forward_passes)):
    torch.manual_seed(seed)
    with torch.no_grad():
        print(f"{name}: {objective(plain.train(), batch):.6f}")

# %% [markdown]
# ### Move alpha
#
# What does alpha do to the loss? For each text of the picture above, take the two of its thirty passes that differ
# most. They stay fixed. The next cell computes the parts of their loss.


# %%
def most_different(text):
    widest = np.ptp(passes[:, text], axis=0).argmax()  # the class whose probability moves most
    return pass_logits[[passes[:, text, widest].argmin(), passes[:, text, widest].argmax()], text]  # [2, classes]


def parts_of_loss(text, temperature=1.0):
    two, label = most_different(text) / temperature, torch.tensor([gold["dev"][shown_rows[text]]])
    return [F.cross_entropy(two[:1], label), F.cross_entropy(two[1:], label), objectives.symmetric_kl(*two, label[0])]


# %% [markdown]
# Move alpha first. Then move the temperature, which divides all logits: above 1, both predictions become less
# confident. Watch what happens to the KL.


# %%
def show_loss(alpha=1.0, temperature=1.0, text=0):
    ce_1, ce_2, kl = (float(part) for part in parts_of_loss(text, temperature))
    rows = {"CE_1": ce_1, "CE_2": ce_2, "KL, mean of both directions": kl, "alpha times KL": alpha * kl}
    rows["loss"] = ce_1 + ce_2 + alpha * kl
    two = (most_different(text) / temperature).softmax(-1).numpy()
    picture = plots.class_probabilities(pd.DataFrame(two, ["pass 1", "pass 2"], names))
    return [picture, pd.DataFrame({"value": rows}).map("{:.3g}".format)]


options = {f"text {i + 1}, which is {names[gold['dev'][row]]}": i for i, row in enumerate(shown_rows)}
explore(show_loss, alpha=(0.0, 10.0, 0.5), temperature=(0.5, 5.0, 0.5), text=options)

# %% [markdown]
# Alpha only decides how much the training cares about the disagreement. If the passes prefer different classes, as for
# text 1, a higher temperature lowers the KL too, without any training. If both are near 100 % for the same class, a
# lower one does. So a low KL alone does not show that the passes were taught to agree.
#
# **Exercise.** With which alpha is the KL term as large as both cross-entropies together? Use temperature 1 and text 1;
# an error of 5 % is allowed.

# %%
balanced_alpha = None  # your answer, from the three numbers in the table
check("05-balance", balanced_alpha, *parts_of_loss(0))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# ce_1, ce_2, kl = parts_of_loss(0)
# balanced_alpha = (ce_1 + ce_2) / kl
# ```
# </details>
#
# ## Train with R-Drop
#
# Only the objective changes. Each update computes about twice as much, so expect a longer training.
#
# How strong an effect can you expect? The cross-entropies pull each prediction toward the label, and the KL pulls both
# predictions toward each other, each harder if the distance is larger. Two passes are usually much closer to each other
# than to the label. So in few updates, alpha = 1 may change little; a larger alpha changes more.

# %%
r_drop, r_drop_name = partial(objectives.r_drop, alpha=alpha), f"R-Drop, alpha {alpha:g}"
r_drop_model = train(r_drop_name, r_drop, num_epochs)

# %% [markdown]
# Score and KL are those of the best epoch. The seconds do not include the measuring.


# %%
def run_table():
    return pd.DataFrame(runs).T.map("{:.3g}".format)


run_table()

# %% [markdown]
# How did the KL move during training? Epoch 0 is the model with a new head, which is the same for both runs. Such a
# head gives every text nearly the same probabilities, so its passes agree without having learned anything.

# %%
kl_curves = pd.DataFrame({name: {0: kl_at_start} | curve for name, curve in curves.items()}).rename_axis("epoch")
plots.run_curves(kl_curves.iloc[:, -6:], "KL of two passes")

# %% [markdown]
# When a model learns to tell the classes apart, its passes usually become more different as well. The KL term works
# against that: with a large alpha, the curve of R-Drop should stay below the other one. With a small alpha the curves
# may cross by chance, because the runs also differ in their dropout.
#
# Here are the three texts from above again, now with the model that R-Drop trained. Compare the ranges at the right
# with those of the first picture:

# %%
passes_r_drop = logits_of_passes(r_drop_model.train(), shown_batch, 30).softmax(-1).cpu()
plots.dropout_spread(passes_r_drop.numpy(), shown_texts, names)

# %% [markdown]
# Take the text of your own from above, and see what both models predict at evaluation, without dropout:


# %%
def both_models(text):
    batch = make_batch(batching.tokenize([text], tokenizer, max_length=max_length))
    models = {"plain": plain, "R-Drop": r_drop_model}
    rows = [logits_of_passes(model.eval(), batch, 1)[0, 0].softmax(-1).tolist() for model in models.values()]
    return plots.class_probabilities(pd.DataFrame(rows, [*models], names))


explore(both_models, text="The battery died after a week, but they were so kind about it.")

# %% [markdown]
# **Exercise: change one number.** With alpha = 0, R-Drop still makes two passes, but their KL does not count. How would
# that change the score, the KL and the seconds? Write down what you expect. Then set `new_alpha = 0` and run the cell:
# the table keeps the earlier rows. What does the KL term add to two passes? (There is no check; the table is the
# answer. Choose an alpha by the score on dev, never on test.)

# %%
new_alpha = None  # for instance 0
if new_alpha is not None:
    train(f"R-Drop, alpha {new_alpha:g}", partial(objectives.r_drop, alpha=new_alpha), num_epochs)
run_table()

# %% [markdown]
# If the KL falls and the score does not rise, the passes agree more, but the predictions are no better. A model that
# gives all texts the same probabilities has a KL of zero.
#
# ## Equal updates, equal time
#
# R-Drop made as many updates as the plain model, but its updates took longer. So it had more time. A fair comparison
# answers one of two questions. At *equal updates*: does R-Drop help, whatever it costs? At *equal time*: is it worth
# its cost?
#
# For the second question R-Drop gets half the epochs, because an update computes twice as much. Expect a lower score,
# perhaps a much lower one: after half the updates, the model may not have learned the task yet. Such a score says that
# the time was too short, and not what R-Drop is worth.

# %%
half_name = "R-Drop, half the epochs"
_ = train(half_name, r_drop, max(1, num_epochs // 2))

# %%
ratio, half_ratio = (runs[name]["seconds"] / runs["plain"]["seconds"] for name in (r_drop_name, half_name))
print(f"R-Drop took {ratio:.1f} times as long as plain training, and with half the epochs {half_ratio:.1f} times")

# %% [markdown]
# If the second number is far from 1, the time is not equal (early stopping may be a reason). All models are trained, so
# test is scored now. Besides accuracy and F1, the table has the *ROC-AUC*. For one class it is the share of pairs (a
# text of the class, a text of another class) in which the first has the higher probability of the class. By chance it
# is 50 %. The mean is over all classes that occur.


# %%
from sklearn.metrics import roc_auc_score


def roc_auc(probabilities):
    is_class = np.eye(len(names))[gold["test"]]  # [rows, classes]
    occurs = is_class.any(0)
    return roc_auc_score(is_class[:, occurs], probabilities[:, occurs], average="macro")


probabilities = {name: logits[name]["test"].softmax(-1).numpy() for name in ("plain", r_drop_name, half_name)}
predictions = {name: table.argmax(1) for name, table in probabilities.items()}

# %%
in_words = {"weighted_f1": "weighted F1", "macro_f1": "macro F1", "roc_auc": "ROC-AUC"}
scores = {
    name: metrics.scores(gold["test"], predictions[name], len(names)) | {"roc_auc": roc_auc(table)}
    for name, table in probabilities.items()
}
(100 * pd.DataFrame(scores).T).rename(columns=in_words).round(1)

# %% [markdown]
# How certain are the differences? Compare both runs with the plain model on the same test rows, as in lesson 3. Look at
# the width of the intervals before you look at the differences.

# %%
for name in (r_drop_name, half_name):
    found = metrics.paired_bootstrap(
        gold["test"], predictions["plain"], predictions[name], num_classes=len(names), seed=seed
    )
    difference, low, high = (100 * found[key] for key in ("difference", "low", "high"))
    print(f"{name}, against plain: {difference:+.1f} points of weighted F1, 95 % interval {low:+.1f} to {high:+.1f}")

# %% [markdown]
# If zero is in an interval, these rows do not show a difference. Another seed would change the differences too, and the
# interval does not include that.
#
# ## Confidence and calibration
#
# Lesson 3 asked whether a model is right as often as its probabilities say. R-Drop changes the probabilities, so ask
# again. The hatched gap reaches from the accuracy of a bin to its mean confidence; if it lies above the blue bar, the
# model is too confident. The calibration error is the average gap. Move the temperature: how low does the error become,
# and at which temperature? Then choose another model.


# %%
def calibration(temperature=1.0, model="plain"):
    scaled = (logits[model]["dev"] / temperature).softmax(-1).numpy()
    error = metrics.expected_calibration_error(gold["dev"], scaled, num_bins=10)
    return plots.reliability_diagram(metrics.reliability(gold["dev"], scaled, num_bins=10), error)


explore(calibration, temperature=(0.25, 4.0, 0.25), model=list(probabilities))

# %% [markdown]
# No temperature changes a prediction, so accuracy stays the same. In a bin with few rows, much of the gap is noise.
#
# A temperature that is chosen on dev looks better on dev than it is. So `fit_temperature` finds the best one on dev (by
# the cross-entropy), and the table shows the error on test, in points, without and with it. Above 1, it says that the
# model was too confident on dev.

# %%
rows = {}
for name, table in probabilities.items():
    temperature = metrics.fit_temperature(logits[name]["dev"], gold["dev"])
    scaled = (logits[name]["test"] / temperature).softmax(-1).numpy()
    before, after = (metrics.expected_calibration_error(gold["test"], x, num_bins=10) for x in (table, scaled))
    confidence = 100 * table.max(1).mean()
    rows[name] = {"confidence (%)": confidence, "error": 100 * before, "temperature": temperature}
    rows[name]["error with it"] = 100 * after
pd.DataFrame(rows).T.map("{:.3g}".format)

# %% [markdown]
# If a temperature brings the errors of plain training and R-Drop to similar values, you do not need R-Drop for
# calibration.
#
# ## One pass or two
#
# There are two ways to compute R-Drop: two passes over the batch, or one pass over a batch that has each text twice. In
# both, dropout draws a new mask (which numbers become zero) for every copy of a text. With the same masks, the loss
# should be the same. To check this on the real model, record the masks of the doubled batch and replay them in two
# passes.

# %%
# Torch's own dropout and that of "eager" attention can be replaced from outside, unlike those of the faster layers.
environment.set_seed(seed)
_, eager_model = encoders.load(encoder, names, pooling=pooling, attn_implementation="eager")
eager_model.to(device).train()
masks = []


def record_mask(x, p=0.5, training=True, inplace=False):
    masks.append((torch.rand_like(x) >= p) / (1 - p))
    return x * masks[-1]


def replay_mask(x, p=0.5, training=True, inplace=False):
    return x * next(masks_to_replay)


# %%
from unittest import mock

with torch.no_grad():
    with mock.patch("torch.nn.functional.dropout", record_mask):
        doubled = objectives.r_drop(eager_model, batch, alpha=alpha, one_forward_pass=True)
    masks_to_replay = iter([mask.chunk(2)[copy] for copy in range(2) for mask in masks])
    with mock.patch("torch.nn.functional.dropout", replay_mask):
        two = objectives.r_drop(eager_model, batch, alpha=alpha, one_forward_pass=False)
print(f"{len(masks)} masks; doubled batch {doubled:.6f}, two passes {two:.6f}, difference {abs(doubled - two):.1e}")

# %% [markdown]
# The loss is the same, so the helper uses the doubled batch, which is usually faster. Both ways do twice the work and
# need more memory. But twice the work does not always take twice the time. On an H200 GPU, with the architecture of
# roberta-large, R-Drop took about as long as a plain update, probably because the plain batch did not use the whole
# GPU. (If R-Drop looks faster, that is noise.)

# %%
gpu = pd.DataFrame(results.read("gpu")).query("row.str.contains('large.*(?:turns|tokens|R-Drop)$')")
in_words = {"batch": "texts, tokens", "step_ms": "milliseconds per update", "gpu_gib": "GPU memory (GiB)"}
gpu[["row", *in_words]].rename(columns=in_words)

# %% [markdown]
# ### With the Trainer, and curves in TensorBoard
#
# Our subclass of transformers' Trainer takes the same objective. It can also write event files, which TensorBoard shows
# as curves. Here is an epoch over sixteen texts:

# %%
shutil.rmtree("board", ignore_errors=True)  # from an earlier run
model, few = new_model(), batching.make_dataloader(examples["train"][:16], tokenizer.pad_token_id, batch_size=4)
settings = {"precision": precision, "metric_for_best_model": None, "tensorboard": True, "logging_steps": 1}
arguments = training.make_training_arguments("board", num_epochs=1, seed=seed, **settings)
trainer = training.Trainer(model, arguments, r_drop, few, optimizer=training.make_optimizer(model, lr))
_ = trainer.train()

# %%
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

(event_file,) = Path("board").glob("**/events.out.tfevents*")
log = EventAccumulator(str(event_file)).Reload()
pd.Series([event.value for event in log.Scalars("train/loss")], name="train/loss").round(3).to_frame().T

# %% [markdown]
# In JupyterLab, `%load_ext tensorboard` and `%tensorboard --logdir board` show the folder. `train/loss` is the whole
# loss of R-Drop, with two cross-entropies. If dev is evaluated, `eval/loss` is the plain cross-entropy of one pass. So
# the two curves are not on the same scale.
#
# ## What goes wrong
#
# ### An alpha from another definition
#
# "We used alpha = 1" means little without the formula. Other code writes the loss in another way and still calls the
# weight alpha. To convert it, multiply the whole loss so that it starts with CE_1 + CE_2. Then read what stands before
# (KL + KL) / 2:
#
# | code | its loss | the paper's alpha |
# |---|---|---|
# | the paper, this course, the authors' fairseq code | CE_1 + CE_2 + alpha (KL + KL) / 2 | alpha |
# | the authors' [README](https://github.com/dropreg/R-Drop) | (CE_1 + CE_2) / 2 + a (KL + KL) / 2 | 2 a |
# | [bojone](https://github.com/bojone/r-drop)'s code for Keras | (CE_1 + CE_2) / 2 + b (KL + KL) / 4 | b |
# | the authors' code for BERT | CE_1 + CE_2 + 0.5 (KL + KL) / 2, KL *summed* over n texts | 0.5 n |
# | the authors' code for RoBERTa | CE_1 / 2 + 0.7 (KL + KL) / 2, KL *summed* over n texts | none |
#
# (The README sums its KL but allows a mean, as assumed here.) The RoBERTa code has no CE_2. If both CE were equal, four
# times its loss would give alpha = 2.8 n. They are not equal, so no alpha makes it the loss of the paper. The next cell
# computes each loss, as if all eight texts of a batch had the values of text 1 above:

# %%
n, (ce_1, ce_2, kl_mean) = 8, (float(part) for part in parts_of_loss(0))
losses = {  # the loss as it is written there, and the paper's alpha from the table
    "README, a = 1": ((ce_1 + ce_2) / 2 + kl_mean, 2.0),
    "Keras, b = 4": ((ce_1 + ce_2) / 2 + 4 * kl_mean / 2, 4.0),
    "BERT code": (ce_1 + ce_2 + 0.5 * n * kl_mean, 0.5 * n),
    "RoBERTa code": (ce_1 / 2 + 0.7 * n * kl_mean, 2.8 * n),
}
table = pd.DataFrame(losses, index=["loss there", "alpha"]).T
table["the paper's loss with this alpha"] = ce_1 + ce_2 + table["alpha"] * kl_mean
table.assign(ratio=table["loss there"] / table["the paper's loss with this alpha"]).round(3)

# %% [markdown]
# A ratio of exactly 0.5 or 1 is only a factor on the whole loss. It hardly matters to AdamW (but it does matter where
# gradients are clipped). The ratio of the RoBERTa code is not exactly 0.25, and it changes from batch to batch. So
# convert alpha first, and tune it afterwards.
#
# ### KL summed over the batch
#
# The README and the authors' copies of transformers call `.sum()` over all of [texts, classes]. A sum depends on how
# many texts there are, so another batch size is also another alpha. The cell repeats four texts to make larger batches.
# Its last column is the paper's alpha of the BERT code:

# %%
batch_of_32 = make_batch(examples["dev"][:32])
first, second = logits_of_passes(plain.train(), batch_of_32).softmax(-1)
kl_of_text = ((first - second) * (first.log() - second.log())).sum(-1)[:4].cpu()  # both directions
rows = {}
for size in (4, 8, 16, 32):
    repeated = kl_of_text.repeat(size // 4)
    rows[size] = {"mean": repeated.mean().item(), "sum": repeated.sum().item(), "alpha": 0.5 * size}
pd.DataFrame(rows).T.rename_axis("texts in the batch").round(3)

# %% [markdown]
# `reduction="batchmean"` of `torch.nn.KLDivLoss` divides by the first dimension. This is right for [texts, classes] and
# wrong for [texts, tokens, classes]. `reduction="mean"` also divides by the number of classes.
#
# ### Two passes at evaluation
#
# The authors' copies of transformers' BERT and RoBERTa make both passes inside `forward`, at evaluation as well. With
# dropout off the two passes are equal, so evaluation costs twice as much for nothing. And if `model.eval()` was
# forgotten, dropout is still on, and one text has two different predictions:

# %%
for mode in ("eval", "train"):
    model = getattr(plain, mode)()  # plain.eval(), then plain.train()
    first, second = logits_of_passes(model, batch_of_32).softmax(-1)
    num_changed = (first.argmax(-1) != second.argmax(-1)).sum()
    print(
        f"{mode}(): probabilities differ by up to {(first - second).abs().max():.3f}, "
        f"the predicted class for {num_changed} of {len(first)} texts"
    )

# %% [markdown]
# ### No dropout
#
# Without dropout both passes are the same and the KL is exactly 0, so you pay twice for plain training. ModernBERT, for
# example, comes with a dropout of 0. The helper raises an error:

# %%
no_dropout = new_model().train()
for module in no_dropout.modules():
    if isinstance(module, torch.nn.Dropout):
        module.p = 0.0
try:
    objectives.r_drop(no_dropout, batch)
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# ### Equal epochs, twice the computation
#
# At equal epochs R-Drop has computed about twice as much. Plain training with twice the epochs, or a larger encoder,
# might have used that time better. On the other hand, the authors say that R-Drop needs more epochs than plain training
# ([issue 12](https://github.com/dropreg/R-Drop/issues/12)), so half of them is a hard test.

# %%
per_epoch = {name: run["seconds"] / len(curves[name]) for name, run in runs.items()}  # a run may have stopped early
epochs = num_epochs * per_epoch[r_drop_name] / per_epoch["plain"]
print(f"In the time of {num_epochs} epochs of R-Drop, plain training makes about {epochs:.1f} epochs")

# %% [markdown]
# <details><summary>How well the published gains could be repeated</summary>
#
# For BERT-base the paper reports 62.6 on CoLA, 71.1 on RTE and 87.3 on MRPC (dev sets). A reader who ran the authors'
# code got 58.1, 66.4 and 82.8 ([issue 30](https://github.com/dropreg/R-Drop/issues/30)). Others also stayed below the
# paper ([16](https://github.com/dropreg/R-Drop/issues/16), [23](https://github.com/dropreg/R-Drop/issues/23)). The
# authors answer that many of the tasks need particular seeds and settings, and that R-Drop still beats plain
# fine-tuning. One reader did see a gain ([6](https://github.com/dropreg/R-Drop/issues/6)), but gave R-Drop 6 epochs and
# the baseline 3, and reported the best of ten seeds.
# </details>
#
# ## Where this stands: MELD
#
# MELD has ten thousand training turns from a TV series. Each row is the mean over five seeds ± standard deviation, with
# the embedded encoder; alpha is 1. *Label smoothing* is a cheap alternative: a tenth of the target moves from the label
# to all classes, which costs no time. (Try `train("label smoothing", partial(objectives.cross_entropy,
# label_smoothing=0.1), num_epochs)`.)

# %%
shown_columns = ["row", "weighted F1", "macro F1", "seconds", "difference"]
rows = ["utterance only", "R-Drop, equal updates", "R-Drop, equal time", "label smoothing"]
results.summary("meld", rows=rows)[shown_columns]

# %% [markdown]
# The last column compares the weighted F1 of each row with the first on the same test rows. Its 95 % interval allows
# for other seeds and other test dialogues, and the p-values are corrected for the number of comparisons. If zero is in
# the interval, the runs do not show a difference. The next table has dialogue context (lesson 6); each row is compared
# with the same model without R-Drop:

# %%
results.summary("context", rows=["past and future, R-Drop", "past only, R-Drop"])[shown_columns]

# %% [markdown]
# The last table is about a larger encoder, `embedded-base` with 109 million parameters, and three seeds:

# %%
results.summary("base", rows=["utterance only", "R-Drop"])[shown_columns]

# %% [markdown]
# These are two encoders, one corpus and one alpha, so it is no verdict on R-Drop in general. Reproduce the tables with
# `nbhelpers results meld`, `nbhelpers results context` and `nbhelpers results base --seeds 3`.
#
# ## Exercises
#
# A wrong answer gets a hint, which grows with each try.
#
# **1.** Write the loss of the paper, from the cross-entropies of both passes, both divergences, and alpha.


# %%
def r_drop_loss(ce_1, ce_2, kl_1, kl_2, alpha):
    return None  # your code


check("05-loss", r_drop_loss)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def r_drop_loss(ce_1, ce_2, kl_1, kl_2, alpha):
#     return ce_1 + ce_2 + alpha * (kl_1 + kl_2) / 2
# ```
# </details>
#
# **2.** You find code whose loss is ce_factor · (CE_1 + CE_2) + kl_factor · (KL_1 + KL_2), each averaged over the
# texts. Return the alpha with which the paper's loss is the same up to a factor.


# %%
def paper_alpha(ce_factor, kl_factor):
    return None  # your code


check("05-alpha", paper_alpha)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def paper_alpha(ce_factor, kl_factor):
#     return 2 * kl_factor / ce_factor
# ```
# </details>
#
# ## Quiz
#
# Three questions on this lesson:

# %%
quiz("05-why-two-passes")
quiz("05-alpha")
quiz("05-fair")

# %% [markdown]
# ## Recap
#
# - Dropout gives one text different predictions in training. R-Drop makes two passes and adds a term to the loss that
#   is large if they disagree.
# - The loss is both cross-entropies plus alpha times the mean of both KL. The KL is summed over the classes and
#   averaged over the texts. Convert every alpha to this formula.
# - A low KL alone is no success: compare scores on dev, and look at the confidence too.
# - R-Drop computes twice as much per update. Compare at equal updates and at equal time, over several seeds.
#
# Next: [6. Dialogue context](06_meld_context.ipynb) gives the model the turns around a text. The last cell has the
# number that `nbhelpers run` shows for this lesson: the KL of R-Drop divided by that of plain training.

# %%
headline("KL of two passes, R-Drop / plain", runs[r_drop_name]["KL of two passes"] / runs["plain"]["KL of two passes"])
