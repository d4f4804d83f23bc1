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
# After this lesson you can
#
# - train with R-Drop by one formula, and convert the alpha of other code to it,
# - compare a method that computes twice as much fairly: at equal updates and at equal time,
# - recognize, by a number, the mistakes that R-Drop code often has.
#
# <!-- facts -->
# Measured: default profile 1.3 min, 2.4 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# *Dropout* switches off random units of the model during training. So one text gets different logits in each pass.
# R-Drop ([Liang et al. 2021](https://arxiv.org/abs/2106.14448)) passes each text through the model twice, and adds to
# the loss how different the two outputs are. It needs no change to the model, but twice the computation. Is it worth
# that?
#
# The lesson trains four small models on a few product reviews. One seed on so few texts proves nothing about the
# method; it shows how each part works. The tables at the end show what was measured on MELD.
#
# The setup cell does nothing if the course is already installed.

# %% Setup
try:
    from nbhelpers import environment
except ImportError:  # on Colab or Kaggle, after:  !git clone <the address of this course> nbhelpers
    from runpy import run_path

    run_path("nbhelpers/notebooks/colab.py")

# %%
import inspect
import shutil
import timeit
from functools import partial
from unittest import mock

import numpy as np
import pandas as pd
import torch
import transformers
from IPython.display import Code
from sklearn.metrics import roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nbhelpers import batching, encoders, environment, metrics, objectives, plots, training
from nbhelpers.course.lesson import check, diagrams, headline, load_splits, quiz, results

transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show

# %% [markdown]
# This is how a text becomes probabilities. The lesson is about the blue part:

# %%
diagrams.path(["head", "softmax"])

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
# @markdown Weight of the KL term as the paper defines it; the paper tried 0.1, 0.5 and 1.0 for such tasks.
alpha = 1.0  # @param {type: "number"}
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
texts = {split: part["text"][:] for split, part in data.items()}
gold = {split: part["label"][:] for split, part in data.items()}
sizes

# %% [markdown]
# ## Train a plain model and watch it
#
# As in lesson 3, the texts are tokenized once, and batches have texts of similar length:

# %%
device = environment.best_device()
precision, reason = environment.best_precision(device)
tokenizer, _ = encoders.load(encoder, names, pooling=pooling)
collator = batching.Collator(tokenizer.pad_token_id)
examples, dataloaders = {}, {}
for split in data:
    examples[split] = batching.tokenize(texts[split], tokenizer, labels=gold[split], max_length=max_length)
    options = {"batch_size": batch_size, "shuffle": split == "train", "seed": seed}
    dataloaders[split] = batching.make_dataloader(examples[split], tokenizer.pad_token_id, **options)
print(f"{len(dataloaders['train'])} training batches; on {device.type} in {precision}: {reason}")

# %% [markdown]
# Three functions that the lesson uses again and again: make a batch, load the encoder with a new head, and compute the
# logits of a batch in two passes. Where dropout is on, the two passes differ.


# %%
def make_batch(examples):
    return {name: tensor.to(device) for name, tensor in collator(examples).items()}


def new_model(**options):
    environment.set_seed(seed)  # the same random head each time
    return encoders.load(encoder, names, pooling=pooling, **options)[1].to(device)


def logits_of_two_passes(model, batch):
    with torch.no_grad(), training.autocast(device, precision):
        return [objectives.compute_logits(model, batch, "labels").float() for _ in range(2)]  # each [batch, classes]


# %% [markdown]
# How different are two predictions p and q? The *Kullback-Leibler divergence* measures it: KL(p || q) is the sum over
# the classes of p (log p − log q). It is 0 if p and q are equal. Exchanging p and q changes it, so R-Drop takes the
# mean of both directions.
#
# During training we measure it on the same sixteen dev texts again and again. The function restores the state of the
# random numbers, so that measuring does not change the training.


# %%
watched_batch = make_batch(examples["dev"][:16])


def kl_of_two_passes(model):
    model.train()  # dropout is on
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first, second = logits_of_two_passes(model, watched_batch)
    return objectives.symmetric_kl(first, second, watched_batch["labels"]).item()


# %%
def dev_score(model):
    predicted = training.predict(model, dataloaders["dev"], precision=precision).argmax(-1)
    return metrics.scores(gold["dev"], predicted, len(names))["weighted_f1"]


# %% [markdown]
# `train` trains one model. The learning rate rises during the first tenth of the updates (warm-up) and then follows
# half a *cosine* wave down to zero. Training stops early if `patience` epochs in a row bring no better dev score; a
# gain of at most `threshold` does not count as better. In any case the weights of the best epoch are kept. The
# probabilities on test are stored now and scored when all models are trained.

# %%
trained_logits, probabilities, seconds = {}, {}, {}


def train(name, objective, num_epochs):
    model, num_steps = new_model(), num_epochs * len(dataloaders["train"])
    optimizer = training.make_optimizer(model, lr, head_lr=10 * lr)
    scheduler = training.make_scheduler(optimizer, num_steps, schedule="cosine", warmup_ratio=0.1)
    settings = {"num_epochs": num_epochs, "precision": precision, "patience": 2, "threshold": 0.001}
    settings |= {"evaluate": dev_score, "log": partial(record, name, model)}
    seconds[name], clock["since"] = 0.0, timeit.default_timer()
    training.fit(model, dataloaders["train"], objective, optimizer, scheduler, **settings)
    trained_logits[name] = {
        split: training.predict(model, dataloaders[split], precision=precision) for split in ("dev", "test")
    }
    probabilities[name] = trained_logits[name]["test"].softmax(-1).numpy()
    return model


# %% [markdown]
# `training.fit` calls the function `log`, here `record`, after each update and after each dev score. `record` adds up
# the seconds of the updates, prints the dev scores, and measures the KL twice per epoch.

# %%
clock, kl_rows = {}, []


def record(name, model, row):
    if "dev_score" in row:
        print(f"{name}, epoch {row['epoch']}: weighted F1 on dev {100 * row['dev_score']:.1f}")
    else:
        seconds[name] += timeit.default_timer() - clock["since"]
        if row["step"] % max(1, len(dataloaders["train"]) // 2) == 0:
            kl_rows.append({"run": name, "update": row["step"], "KL": kl_of_two_passes(model)})
    clock["since"] = timeit.default_timer()


# %%
plain = train("plain", objectives.cross_entropy, num_epochs)

# %% [markdown]
# ### What dropout does to a prediction
#
# The picture shows thirty passes with dropout for three dev texts: the two for which the plain model is least
# confident, and the one for which it is most confident. Each dot is one pass. Only the dropout differs.


# %%
def probabilities_of_passes(model, rows, num_passes=30):
    batch = make_batch([examples["dev"][row] for row in rows])
    model.train()
    passes = [logits_of_two_passes(model, batch)[0].softmax(-1).cpu() for _ in range(num_passes)]
    return torch.stack(passes).numpy()  # [passes, texts, classes]


# %%
confidence = training.predict(plain, dataloaders["dev"], precision=precision).softmax(-1).amax(-1)
by_confidence = confidence.argsort().tolist()
shown_rows = [by_confidence[0], by_confidence[1], by_confidence[-1]]
shown_texts = [texts["dev"][i] for i in shown_rows]
passes = probabilities_of_passes(plain, shown_rows)
plots.dropout_spread(passes, shown_texts, names)

# %% [markdown]
# If the dots of a text are far apart, its prediction depends on which units happen to be switched off. At evaluation
# dropout is off and there is a single prediction, but the training never asked for passes that agree.
#
# **Exercise.** Look at text 1. For each class, subtract its smallest probability over the passes from its largest.
# What is the largest of these differences, in points? You may read it from the picture, so a tenth more or less is
# right as well.

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
# ## The formula
#
# R-Drop adds a term to the loss that punishes passes that disagree:

# %%
diagrams.two_passes()

# %% [markdown]
#     loss = CE_1 + CE_2 + alpha * (KL(p_1 || p_2) + KL(p_2 || p_1)) / 2
#
# CE is the cross-entropy of each pass. Each term is a sum over the classes and a *mean over the texts*. This is the
# formula of the paper, and the only one that the course uses. The next cell writes it out on eight texts and compares
# it with the helper, with the same dropout:

# %%
batch = make_batch(examples["dev"][:8])
labels = batch["labels"]
torch.manual_seed(seed)
with torch.no_grad():
    first, second = (objectives.compute_logits(plain.train(), batch, "labels") for _ in range(2))
    log_p, log_q = first.log_softmax(-1), second.log_softmax(-1)
    ce_1, ce_2 = (-log_probs[range(len(labels)), labels].mean().item() for log_probs in (log_p, log_q))
    kl = (log_p.exp() * (log_p - log_q) + log_q.exp() * (log_q - log_p)).sum(-1).mean().item()  # both directions
    by_hand = ce_1 + ce_2 + alpha * kl / 2
    torch.manual_seed(seed)
    helper = objectives.r_drop(plain, batch, alpha=alpha, one_forward_pass=False)
print(f"by hand {by_hand:.6f}, objectives.r_drop {helper:.6f}")

# %% [markdown]
# The helper adds what real training needs. It leaves out positions with the label −100, uses plain cross-entropy at
# evaluation, and refuses a model without dropout.

# %%
source = inspect.getsource(objectives.r_drop) + "\n\n" + inspect.getsource(objectives.symmetric_kl)
Code(source, language="python")

# %% [markdown]
# ### One letter, several meanings
#
# Other code writes the loss in another way and still calls the weight alpha. To convert it, multiply the whole loss so
# that it starts with CE_1 + CE_2. Then read what stands before (KL + KL) / 2. A factor on the whole loss hardly matters
# to AdamW (but it does matter where gradients are clipped).
#
# - The authors' [README](https://github.com/dropreg/R-Drop) writes (CE_1 + CE_2) / 2 + a (KL + KL) / 2. Twice that is
#   CE_1 + CE_2 + 2a (KL + KL) / 2, so **alpha = 2a** (if its KL is averaged over the texts; the README leaves that
#   open).
# - The Keras code of [bojone](https://github.com/bojone/r-drop) takes the mean cross-entropy of all 2N rows and adds b
#   (KL + KL) / 4. Twice that is CE_1 + CE_2 + b (KL + KL) / 2, so **alpha = b**; its default is 4.
# - The authors' code for BERT adds 0.5 (KL + KL) / 2, *summed* over the n texts of a batch, so **alpha = 0.5 n**.
# - Their copy of transformers' RoBERTa has CE_1 / 2 + 0.7 (KL + KL) / 2, also summed, and without CE_2. If both CE were
#   equal, four times that would give alpha = 2.8 n. They are not equal, so **no alpha** makes it the loss of the paper.
#   (Their fairseq code for RoBERTa has the formula of the paper.)
#
# The next cell computes each of these losses from the two passes above:

# %%
n = len(labels)
losses = {  # the loss as it is written there, and the alpha from above
    "README, a = 1": ((ce_1 + ce_2) / 2 + kl / 2, 2.0),
    "Keras, b = 4": ((ce_1 + ce_2) / 2 + 4 * kl / 4, 4.0),
    "BERT code": (ce_1 + ce_2 + 0.5 * n * kl / 2, 0.5 * n),
    "RoBERTa code": (ce_1 / 2 + 0.7 * n * kl / 2, 2.8 * n),
}
table = pd.DataFrame(losses, index=["loss there", "alpha"]).T
table["the paper's loss with this alpha"] = ce_1 + ce_2 + table["alpha"] * kl / 2
table.assign(ratio=table["loss there"] / table["the paper's loss with this alpha"]).round(4)

# %% [markdown]
# The ratio is 0.5 in two lines and 1 in one: there the losses differ only by a constant factor. In the last line it is
# near 0.25 but not equal to it, and it changes from batch to batch.
#
# ### One pass or two
#
# There are two ways to compute R-Drop: two passes over the batch, or one pass over a batch that has each text twice. In
# both, dropout draws a mask for every copy of a text, so the loss should be the same. To check this on the real model,
# record the masks of the first way and use them again in the second. (The model uses plain "eager" attention here,
# because its dropout can be replaced from outside.)

# %%
masks, eager_model = [], new_model(attn_implementation="eager").train()


def record_mask(x, p=0.5, training=True, inplace=False):
    masks.append((torch.rand_like(x) >= p) / (1 - p))
    return x * masks[-1]


def replay_mask(x, p=0.5, training=True, inplace=False):
    return x * next(masks_to_replay)


# %%
with torch.no_grad():
    with mock.patch("torch.nn.functional.dropout", record_mask):
        doubled = objectives.r_drop(eager_model, batch, alpha=alpha, one_forward_pass=True)
    masks_to_replay = iter([mask.chunk(2)[copy] for copy in range(2) for mask in masks])
    with mock.patch("torch.nn.functional.dropout", replay_mask):
        two = objectives.r_drop(eager_model, batch, alpha=alpha, one_forward_pass=False)
print(f"{len(masks)} masks; doubled batch {doubled:.6f}, two passes {two:.6f}, difference {abs(doubled - two):.1e}")

# %% [markdown]
# How long does a training step take? The function takes the best of three steps, after one step as a warm-up, on the
# same eight texts:


# %%
def seconds_per_step(objective):
    model = new_model().train()
    optimizer = training.make_optimizer(model, lr)

    def step():
        with training.autocast(device, precision):
            loss = objective(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()  # waits for a GPU

    step()
    return min(timeit.repeat(step, number=1, repeat=3))


# %%
r_drop = partial(objectives.r_drop, alpha=alpha)
step_objectives = {"plain": objectives.cross_entropy, "R-Drop, doubled batch": r_drop}
step_objectives["R-Drop, two passes"] = partial(r_drop, one_forward_pass=False)
step_seconds = {name: seconds_per_step(objective) for name, objective in step_objectives.items()}
cost = pd.Series(step_seconds, name="seconds").to_frame()
cost.assign(times=cost["seconds"] / cost["seconds"]["plain"]).round(2)

# %% [markdown]
# In both forms, R-Drop does twice the work and needs about twice the memory for activations. But twice the work does
# not always take twice the time. On an H200 GPU, with the architecture of roberta-large, a doubled batch took as long
# as a plain one, because the plain batch did not use the whole GPU:

# %%
gpu = pd.DataFrame(results.read("gpu")).query("row.str.contains('large.*(?:turns|tokens|R-Drop)$')")
gpu[["row", "batch", "step_ms", "gpu_gib"]]

# %% [markdown]
# ## Train, at equal updates and at equal time
#
# *Label smoothing* is a cheap alternative for comparison. It spreads a tenth of the target over all classes, which also
# makes the model less confident, and it costs no time.
#
# R-Drop runs twice: once with as many updates as the plain model, and once with half the epochs. Half the epochs take
# the same time if a step takes twice as long (here it takes a little less). Each run has its own full cosine schedule.

# %%
smoothing = partial(objectives.cross_entropy, label_smoothing=0.1)
label_smoothing_model = train("label smoothing", smoothing, num_epochs)
r_drop_model = train("R-Drop, equal updates", r_drop, num_epochs)
short_r_drop_model = train("R-Drop, equal time", r_drop, max(1, num_epochs // 2))

# %% [markdown]
# Now test is scored. *ROC-AUC* looks at one class against the rest. It is the share of pairs (a text of the class, a
# text of another class) in which the first has the higher probability of the class; 50 % is chance. It depends on the
# order of the probabilities and not on which class has the largest one. It is averaged over the classes that occur.


# %%
def roc_auc(predicted):
    is_class = np.eye(len(names))[gold["test"]]  # [rows, classes]
    occurs = is_class.any(0)
    return roc_auc_score(is_class[:, occurs], predicted[:, occurs], average="macro")


# %%
scores = {
    name: metrics.scores(gold["test"], predicted.argmax(1), len(names)) | {"roc_auc": roc_auc(predicted)}
    for name, predicted in probabilities.items()
}
(100 * pd.DataFrame(scores).T).round(1).assign(seconds=pd.Series(seconds).round(1))

# %% [markdown]
# Compare each method with the plain model on the same test rows, as in lesson 3:

# %%
predictions = {name: predicted.argmax(1) for name, predicted in probabilities.items()}
compare_with_plain = partial(metrics.paired_bootstrap, gold["test"], predictions["plain"], num_classes=len(names))
for name in ("label smoothing", "R-Drop, equal updates", "R-Drop, equal time"):
    comparison = compare_with_plain(predictions[name], seed=seed)
    low, high = 100 * comparison["low"], 100 * comparison["high"]
    print(
        f"{name} against plain: {100 * comparison['difference']:+.1f} points of weighted F1, "
        f"95 % interval {low:+.1f} to {high:+.1f}"
    )

# %% [markdown]
# Look at the width of the intervals before you look at the differences. Another seed would change the differences as
# well. At equal time R-Drop makes half as many updates. With few texts, these may be too few to learn the task at all.
# Then its row shows just that, and not what R-Drop is worth. The seconds in the table are those of the updates alone.
#
# ## Did the passes come to agree?
#
# The next picture shows the KL on the sixteen texts during training:

# %%
kl_curves = pd.DataFrame(kl_rows).pivot(index="update", columns="run", values="KL")[list(probabilities)]
plots.run_curves(kl_curves, "KL of two passes (nats)")

# %% [markdown]
# A new head predicts nearly the same for every text, so the KL starts near zero even without R-Drop. When a model
# learns to tell the classes apart, its two passes also become more different. R-Drop should keep them together.
#
# Compare with label smoothing, which has no such term. Less confident predictions are also closer to each other, so a
# low KL alone does not show that the KL term caused it. Consider also how strong the term is: alpha times this KL is
# added to two cross-entropies, which start near 2 ln 3 = 2.2 for three classes. With few updates, a small alpha and 16
# texts, the curves may cross by chance. Run the lesson again with `alpha = 5` or with all rows, and compare. A low KL
# alone is no success: a model that always predicts the same has a KL of zero.
#
# The same three texts as above, with the model trained by R-Drop at equal updates:

# %%
plots.dropout_spread(probabilities_of_passes(r_drop_model, shown_rows), shown_texts, names)

# %% [markdown]
# ## Calibration, before and after
#
# Lesson 3 asked whether a model is right as often as it says. R-Drop makes the predictions of two passes more similar,
# and label smoothing moves probabilities away from 100 %. Both change the confidence, not only the labels. The table
# has the expected calibration error in points. The second column has it after temperature scaling, with a temperature
# for each model that was chosen on dev:

# %%
errors = {
    name: metrics.expected_calibration_error(gold["test"], predicted, num_bins=10)
    for name, predicted in probabilities.items()
}
mean_confidence = {name: float(predicted.max(1).mean()) for name, predicted in probabilities.items()}
scaled_errors = {}
for name, logits in trained_logits.items():
    scaled = logits["test"] / metrics.fit_temperature(logits["dev"], gold["dev"])
    scaled_errors[name] = metrics.expected_calibration_error(gold["test"], scaled.softmax(-1), num_bins=10)
columns = {"calibration error": errors, "with a temperature": scaled_errors, "mean confidence": mean_confidence}
(100 * pd.DataFrame(columns)).round(1)

# %% [markdown]
# Two of the models in detail:

# %%
for name in ("plain", "R-Drop, equal updates"):
    print(name)
    bins = metrics.reliability(gold["test"], probabilities[name], num_bins=10)
    plots.show(plots.reliability_diagram(bins, errors[name]))

# %% [markdown]
# A bar above the dashed line means too little confidence, a bar below it too much. With so few rows, most of the error
# of a bin is noise, so look at the number of rows.
#
# ## Curves in TensorBoard
#
# The Trainer can write event files, which TensorBoard displays as curves. The next cells make a short run on 24 texts:


# %%
def compute_weighted_f1(prediction):
    return {"weighted_f1": metrics.scores(prediction.label_ids, prediction.predictions.argmax(-1))["weighted_f1"]}


# %%
small = {
    split: batching.make_dataloader(part[:24], tokenizer.pad_token_id, batch_size=batch_size)
    for split, part in examples.items()
}

# %%
shutil.rmtree("board", ignore_errors=True)  # from an earlier run
settings = {"num_epochs": 2, "precision": precision, "schedule": "cosine", "seed": seed, "tensorboard": True}
settings |= {"metric_for_best_model": None, "eval_strategy": "epoch", "logging_steps": 1}
model = new_model()
options = {"optimizer": training.make_optimizer(model, lr, head_lr=10 * lr), "compute_metrics": compute_weighted_f1}
arguments = training.make_training_arguments("board", **settings)
trainer = training.Trainer(model, arguments, r_drop, small["train"], small["dev"], **options)
_ = trainer.train()

# %% [markdown]
# Read the event file back to see what is in it:

# %%
(event_file,) = Path("board").glob("**/events.out.tfevents*")
log = EventAccumulator(str(event_file)).Reload()
curves = {name: [event.value for event in log.Scalars(name)] for name in log.Tags()["scalars"]}
curve_ends = {name: {"points": len(y), "first": y[0], "last": y[-1]} for name, y in curves.items()}
pd.DataFrame(curve_ends).T.map("{:.4g}".format)

# %% [markdown]
# In JupyterLab, `%load_ext tensorboard` and `%tensorboard --logdir board` show the folder, even while training runs.
# Note that the two loss curves are not on the same scale: `train/loss` is the whole loss of R-Drop, two cross-entropies
# and the KL, while `eval/loss` is the plain cross-entropy of one pass. The Trainer also takes `patience` and
# `threshold`.
#
# ## What goes wrong
#
# ### Two passes at evaluation
#
# The authors' copies of transformers' BERT and RoBERTa make both passes inside `forward`, at evaluation as well. With
# dropout off the two passes are exactly equal, so evaluation costs twice as much for nothing. If `model.eval()` was
# forgotten, dropout is still on, and one text has two different predictions:

# %%
batch_of_32 = make_batch(examples["dev"][:32])
for mode in ("eval", "train"):
    model = getattr(plain, mode)()  # plain.eval(), then plain.train()
    first, second = (logits.softmax(-1) for logits in logits_of_two_passes(model, batch_of_32))
    num_changed = (first.argmax(-1) != second.argmax(-1)).sum()
    print(
        f"{mode}(): probabilities differ by up to {(first - second).abs().max():.3f}, "
        f"labels differ for {num_changed} of {len(first)} texts"
    )

# %% [markdown]
# At evaluation, the helper makes one pass without the KL.
#
# ### KL summed over the batch
#
# The README and the authors' copies of transformers call `.sum()` over all of [texts, classes] (their fairseq code
# divides in the end). A mean over the texts depends on which texts are in the batch. A sum also depends on how many
# there are, so a change of the batch size also changes alpha without your noticing. The next cell takes four texts with
# dropout from the cell above and repeats them to make larger batches:

# %%
kl_of_text = ((first - second) * (first.log() - second.log())).sum(-1).cpu()  # KL(p || q) + KL(q || p)
sizes = [4, 8, 16, 32]
pd.DataFrame(
    {
        "mean": [kl_of_text[:4].repeat(size // 4).mean().item() for size in sizes],
        "sum": [kl_of_text[:4].repeat(size // 4).sum().item() for size in sizes],
        "alpha that 0.5 * sum / 2 amounts to": [0.5 * size for size in sizes],
    },
    index=pd.Index(sizes, name="texts in the batch"),
).round(4)

# %% [markdown]
# `reduction="batchmean"` of `torch.nn.KLDivLoss` divides by the first dimension. This is right for [texts, classes] and
# wrong for [texts, tokens, classes]. `reduction="mean"` also divides by the number of classes.
#
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
# ### An alpha from another definition
#
# "We used alpha = 1" means little without the formula. By the table above, 1 in the README is 2 here. And at a batch
# size of 32, the authors' BERT code weights the KL sixteen times as much as the formula of the paper with alpha 1. So
# convert alpha first, and tune it afterwards.
#
# ### Equal epochs, twice the computation
#
# At equal epochs R-Drop has computed about twice as much. Plain training with twice the epochs, or a larger encoder,
# might have used that time better. Two comparisons are fair, and they answer different questions. Equal updates ask
# whether R-Drop helps, whatever it costs; equal time asks whether it is worth its cost. The authors say that R-Drop
# needs more epochs than plain training ([issue 12](https://github.com/dropreg/R-Drop/issues/12)), so half of them is a
# hard test.

# %%
ratio = seconds["R-Drop, equal updates"] / seconds["plain"]
short_ratio = seconds["R-Drop, equal time"] / seconds["plain"]
print(f"with equal epochs R-Drop took {ratio:.1f} times as long as plain training; with half, {short_ratio:.1f} times")

# %% [markdown]
# (Early stopping may have ended a run before its last epoch.)
#
# Be as careful with the published gains. For BERT-base the paper reports 62.6 on CoLA, 71.1 on RTE and 87.3 on MRPC
# (dev sets). A reader who ran the authors' code got 58.1, 66.4 and 82.8
# ([issue 30](https://github.com/dropreg/R-Drop/issues/30)). Others also stayed below the paper
# ([16](https://github.com/dropreg/R-Drop/issues/16), [23](https://github.com/dropreg/R-Drop/issues/23)). The authors
# answer that many of the tasks need particular seeds and settings, and that R-Drop still beats plain fine-tuning. One
# reader did see a gain ([6](https://github.com/dropreg/R-Drop/issues/6)), but gave R-Drop 6 epochs and the baseline 3,
# and reported the best of ten seeds.
#
# ## Where this stands: MELD
#
# All rows have the embedded encoder and the same settings. Each number is the mean over seeds ± standard deviation.
# Reproduce the table with `nbhelpers results meld`; its settings are in `nbhelpers/course/tables/meld.yml`.

# %%
results.summary("meld", rows=["utterance only", "R-Drop, equal updates", "R-Drop, equal time", "label smoothing"])

# %% [markdown]
# The column "difference" compares each row with the first, seed by seed on the same test rows, with a 95 % interval. It
# covers what other seeds and other test dialogues would change, and the p-values are corrected for the number of
# comparisons. Before you call a difference an improvement, check whether zero is in the interval. "No difference" is a
# result as well. The next table has dialogue context (lesson 6), again with five seeds:

# %%
results.summary("context", rows=["past and future, R-Drop", "past only, R-Drop"])

# %% [markdown]
# This is one small encoder and one corpus, so it is no verdict on R-Drop in general.
#
# ## Exercises
#
# Write your answer, and run the cell. A wrong answer gets a hint, which grows with each try.
#
# **1.** Write the KL term yourself, for one text. You get two lists of logits, for instance `[2.0, 0.5, -1.0]` and
# `[0.0, 0.0, 0.0]`. Return (KL(p || q) + KL(q || p)) / 2 of their softmax, in nats (with the natural logarithm).


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
# </details>
#
# Σ p (log p − log q) + Σ q (log q − log p) is Σ (p − q) (log p − log q), so one line computes both directions.
#
# **2.** Write the loss of the paper, from the cross-entropies of both passes, both divergences, and alpha.


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
# ## Quiz
#
# Three questions on this lesson. Each choice has an explanation.

# %%
quiz("05-why-two-passes")
quiz("05-alpha")
quiz("05-fair")

# %% [markdown]
# ## Recap
#
# - R-Drop makes two passes with different dropout. Its loss is both cross-entropies plus alpha times the mean of both
#   KL.
# - Use one formula and convert every alpha to it. The KL is summed over the classes and averaged over the texts. At
#   evaluation there is no second pass.
# - One pass over the doubled batch gives the same loss as two passes.
# - R-Drop computes twice as much per update. Measure how long that takes, then compare at equal updates and at equal
#   time, over several seeds.
#
# Next: [6. Dialogue context](06_meld_context.ipynb). The last cell gives the number that `nbhelpers run` shows for this
# lesson in its table: the KL of the R-Drop model as a share of that of the plain model, on sixteen texts with one seed.

# %%
last = kl_curves.ffill().iloc[-1]
headline("KL of two passes, R-Drop / plain", last["R-Drop, equal updates"] / last["plain"])
