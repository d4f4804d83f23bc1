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
# - recognise, by a number, the faults that R-Drop code often has.
#
# <!-- facts -->
# Measured: default profile 1.3 min, 2.4 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# In training, dropout switches off different units in every pass, so one text gets a different answer each time. R-Drop
# ([Liang et al. 2021](https://arxiv.org/abs/2106.14448)) passes each text through the model twice and adds to the loss
# how far the two answers are apart. It needs no change to the model, and twice the computing. Is it worth that?
#
# The lesson trains four small models on a few written reviews. One seed on so few texts proves nothing about the
# method; it shows how each part works. The tables at the end show what was measured on MELD.
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

from nbhelpers import batching, corpora, encoders, environment, metrics, objectives, plots, training
from nbhelpers.course import results
from nbhelpers.course.exercises import check
from nbhelpers.course.headline import headline

transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show

# %% cellView="form" tags=["parameters"]
# @markdown "reviews" or "dialogues" (come with the course), "meld", or a file or folder with text and label.
corpus = "reviews"  # @param {type: "string"}
# @markdown "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown What the head reads: "mean" of all tokens, or "cls", the first one.
pooling = "mean"  # @param ["mean", "cls"]
# @markdown Passes over the training data; R-Drop at equal time gets half of them.
num_epochs = 4  # @param {type: "integer"}
# @markdown Weight of the agreement, in the units of the paper, which tried 0.1, 0.5 and 1.0 for such tasks.
alpha = 1.0  # @param {type: "number"}
# @markdown Peak learning rate of the encoder (the head's is ten times it); roberta-large takes about 0.00001.
lr = 2e-4  # @param {type: "number"}
# @markdown At most this many texts in a batch.
batch_size = 8  # @param {type: "integer"}
# @markdown Longer texts are cut to this many tokens.
max_length = 128  # @param {type: "integer"}
# @markdown Use only this many rows of each split; 0 uses all.
num_rows = 80  # @param {type: "integer"}
# @markdown The number that random choices start from.
seed = 0  # @param {type: "integer"}

# %%
data = corpora.load(corpus)
for split in ("test", "dev"):
    if split not in data:  # a single file: hold out a part of it
        parts = data["train"].train_test_split(0.2, seed=seed)
        data["train"], data[split] = parts["train"], parts["test"]
rows = {split: min(num_rows or len(part), len(part)) for split, part in data.items()}
data = {split: part.shuffle(seed=seed).select(range(rows[split])) for split, part in data.items()}
label = "emotion" if "emotion" in data["train"].features else "label"
names = data["train"].features[label].names
texts = {split: part["text"][:] for split, part in data.items()}
gold = {split: part[label][:] for split, part in data.items()}
rows

# %% [markdown]
# ## A plain model, watched
#
# As in lesson 3: tokenize once, batch texts of like length, start from the same fresh head each time.

# %%
device = environment.best_device()
precision, reason = environment.best_precision(device)
tokenizer, _ = encoders.load(encoder, names, pooling=pooling)
collate = batching.Collator(tokenizer.pad_token_id)
examples, batches = {}, {}
for split in data:
    examples[split] = batching.tokenize(texts[split], tokenizer, labels=gold[split], max_length=max_length)
    options = {"batch_size": batch_size, "shuffle": split == "train", "seed": seed}
    batches[split] = batching.make_dataloader(examples[split], tokenizer.pad_token_id, **options)
print(f"{len(batches['train'])} training batches; on {device.type} in {precision}: {reason}")


# %%
def first_texts(count):
    return {name: tensor.to(device) for name, tensor in collate(examples["dev"][:count]).items()}


def fresh_model(**options):
    environment.set_seed(seed)
    return encoders.load(encoder, names, pooling=pooling, **options)[1].to(device)


def two_answers(model, batch):
    with torch.no_grad(), training.autocast(device, precision):
        return [objectives.answer(model, batch, "labels").float() for _ in range(2)]  # logits [batch, classes]


# %% [markdown]
# How far two answers are apart is measured by the *Kullback-Leibler divergence*, KL(p || q), the sum over the classes
# of p (log p − log q). It is 0 when p and q are equal. Exchanging p and q changes it, so R-Drop takes the mean of both
# directions. It is watched during training on the same sixteen dev texts; the measurement leaves the random state as it
# was, so that training goes on as if nobody had looked.


# %%
def disagreement(model):
    model.train()  # dropout is on
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first, second = two_answers(model, watched)
    return objectives.disagreement(first, second, watched["labels"]).item()


watched = first_texts(16)


def dev_score(model):
    predicted = training.predict(model, batches["dev"], precision=precision).argmax(-1)
    return metrics.scores(gold["dev"], predicted, len(names))["weighted_f1"]


# %% [markdown]
# The learning rate warms up over the first tenth of the updates and then follows half a *cosine* wave down to zero.
# Training stops early when `patience` epochs in a row bring no better dev score; a gain up to `threshold` does not
# count as better. The best weights are kept in any case. Answers on test are stored, and read when all models are
# trained.

# %%
curves, answers, seconds = [], {}, {}


def train(name, objective, num_epochs):
    model, num_steps = fresh_model(), num_epochs * len(batches["train"])
    optimizer = training.make_optimizer(model, lr, head_lr=10 * lr)
    scheduler = training.make_scheduler(optimizer, num_steps, schedule="cosine", warmup_ratio=0.1)
    settings = {"num_epochs": num_epochs, "precision": precision, "patience": 2, "threshold": 0.001}
    settings["log"] = partial(watch, name, model)
    seconds[name], clock["since"] = 0.0, timeit.default_timer()
    training.fit(model, batches["train"], objective, optimizer, scheduler, evaluate=dev_score, **settings)
    answers[name] = training.predict(model, batches["test"], precision=precision).softmax(-1).numpy()
    return model


# %% [markdown]
# `training.fit` calls `watch` after each update and after each dev score. Only the updates count as training time.

# %%
clock = {}


def watch(name, model, row):
    if "dev_score" in row:
        print(f"{name}, epoch {row['epoch']}: weighted F1 on dev {100 * row['dev_score']:.1f}")
    else:
        seconds[name] += timeit.default_timer() - clock["since"]
        if row["step"] % max(1, len(batches["train"]) // 2) == 0:
            curves.append({"run": name, "update": row["step"], "KL": disagreement(model)})
    clock["since"] = timeit.default_timer()


# %%
plain = train("plain", objectives.cross_entropy, num_epochs)

# %% [markdown]
# ### What dropout does to an answer
#
# Thirty passes with dropout for three dev texts: the two that the plain model is least sure of, and the one it is
# surest of. Each dot is a pass; only the dropout differs.


# %%
def passes(model, count=30):
    batch = {name: tensor.to(device) for name, tensor in collate([examples["dev"][i] for i in chosen]).items()}
    model.train()
    made = [two_answers(model, batch)[0].softmax(-1).cpu() for _ in range(count)]
    return torch.stack(made).numpy()  # [passes, texts, classes]


sure = training.predict(plain, batches["dev"], precision=precision).softmax(-1).amax(-1).argsort().tolist()
chosen = [sure[0], sure[1], sure[-1]]
plots.dropout_spread(passes(plain), [texts["dev"][i] for i in chosen], names)

# %% [markdown]
# Where the dots of a text are far apart, its answer depends on which units happen to be off. At evaluation dropout is
# off and the answer is one, but the model was never asked to be of one mind.
#
# ## The formula
#
#     loss = CE_1 + CE_2 + alpha * (KL(p_1 || p_2) + KL(p_2 || p_1)) / 2
#
# CE is the cross-entropy of each pass. Every term is a sum over the classes and a *mean over the texts*. This is the
# paper's formula and the only one the course uses. Written out on eight texts, and by the helper with the same dropout:

# %%
batch = first_texts(8)
labels = batch["labels"]
torch.manual_seed(seed)
with torch.no_grad():
    first, second = (objectives.answer(plain.train(), batch, "labels") for _ in range(2))
    p, q = first.log_softmax(-1), second.log_softmax(-1)
    ce_1, ce_2 = (-log[range(len(labels)), labels].mean().item() for log in (p, q))
    kl = (p.exp() * (p - q) + q.exp() * (q - p)).sum(-1).mean().item()  # both directions
    by_hand = ce_1 + ce_2 + alpha * kl / 2
    torch.manual_seed(seed)
    helper = objectives.r_drop(plain, batch, alpha=alpha, doubled=False)
print(f"by hand {by_hand:.6f}, objectives.r_drop {helper:.6f}")

# %% [markdown]
# The helper adds what real training needs: labels of −100 are left out, evaluation is plain cross-entropy, and a model
# without dropout is refused.

# %%
Code(inspect.getsource(objectives.r_drop) + "\n\n" + inspect.getsource(objectives.disagreement), language="python")

# %% [markdown]
# ### One letter, several meanings
#
# Other code writes the loss differently and still calls the weight alpha. To convert, multiply the whole loss until it
# starts with CE_1 + CE_2, then read off what stands before (KL + KL) / 2. A factor on a whole loss hardly matters to
# AdamW (though it does where gradients are clipped).
#
# - The authors' [README](https://github.com/dropreg/R-Drop) writes (CE_1 + CE_2) / 2 + a (KL + KL) / 2. Twice that is
#   CE_1 + CE_2 + 2a (KL + KL) / 2, so **alpha = 2a** (if its KL is averaged over the texts; it leaves that to you).
# - The Keras form of [bojone](https://github.com/bojone/r-drop) takes the mean cross-entropy of all 2N rows and adds b
#   (KL + KL) / 4. Twice that is CE_1 + CE_2 + b (KL + KL) / 2, so **alpha = b**; its default is 4.
# - The authors' BERT code adds 0.5 (KL + KL) / 2 *summed* over the n texts of a batch: **alpha = 0.5 n**.
# - Their copy of transformers' RoBERTa has CE_1 / 2 + 0.7 (KL + KL) / 2, summed too, without CE_2. If both CE were
#   equal, four times that would give alpha = 2.8 n. They are not, so **no alpha** makes it the paper's loss. (Their
#   fairseq code for RoBERTa has the paper's formula.)
#
# Computed from the two answers above:

# %%
n = len(labels)
written = {  # the loss as written there, and the alpha found above
    "README, a = 1": ((ce_1 + ce_2) / 2 + kl / 2, 2.0),
    "Keras, b = 4": ((ce_1 + ce_2) / 2 + 4 * kl / 4, 4.0),
    "BERT code": (ce_1 + ce_2 + 0.5 * n * kl / 2, 0.5 * n),
    "RoBERTa code": (ce_1 / 2 + 0.7 * n * kl / 2, 2.8 * n),
}
table = pd.DataFrame(written, index=["loss there", "alpha"]).T
table["the paper's loss with this alpha"] = ce_1 + ce_2 + table["alpha"] * kl / 2
table.assign(ratio=table["loss there"] / table["the paper's loss with this alpha"]).round(4)

# %% [markdown]
# The ratio is 0.5 twice, and 1 once: only the scale differs. In the last line it is near 0.25, but not equal, and
# changes from batch to batch.
#
# ### One pass or two
#
# Two passes over the batch, or one pass over the batch written twice: dropout draws a mask for every copy in both
# cases, so the loss should be the same. To see that on the real model, record the masks of one form and replay them in
# the other (with plain "eager" attention, whose dropout can be replaced from outside).


# %%
def record(x, p=0.5, training=True, inplace=False):
    masks.append((torch.rand_like(x) >= p) / (1 - p))
    return x * masks[-1]


def replay(x, p=0.5, training=True, inplace=False):
    return x * next(played)


masks, eager = [], fresh_model(attn_implementation="eager").train()
with torch.no_grad():
    with mock.patch("torch.nn.functional.dropout", record):
        once = objectives.r_drop(eager, batch, alpha=alpha, doubled=True)
    played = iter([mask.chunk(2)[copy] for copy in range(2) for mask in masks])
    with mock.patch("torch.nn.functional.dropout", replay):
        twice = objectives.r_drop(eager, batch, alpha=alpha, doubled=False)
print(f"{len(masks)} masks; doubled batch {once:.6f}, two passes {twice:.6f}, difference {abs(once - twice):.1e}")

# %% [markdown]
# What does a step cost? The best of three after one to warm up, on the same eight texts:


# %%
def seconds_per_step(objective):
    model = fresh_model().train()
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
steps = {"plain": objectives.cross_entropy, "R-Drop, doubled batch": r_drop}
steps["R-Drop, two passes"] = partial(r_drop, doubled=False)
cost = pd.Series({name: seconds_per_step(objective) for name, objective in steps.items()}, name="seconds").to_frame()
cost.assign(times=cost["seconds"] / cost["seconds"]["plain"]).round(2)

# %% [markdown]
# R-Drop does twice the work, and needs about twice the memory for activations, in both forms. Twice the work need not
# take twice the time. On an H200, with roberta-large's architecture, a doubled batch took as long as a plain one,
# because the GPU was not full:

# %%
gpu = pd.DataFrame(results.read("gpu")).query("row.str.contains('large.*(?:turns|tokens|R-Drop)$')")
gpu[["row", "batch", "step_ms", "gpu_gib"]]

# %% [markdown]
# ## Train, at equal updates and at equal time
#
# *Label smoothing* joins as a cheap rival: it spreads a tenth of the target over all classes, which also restrains sure
# answers, and costs nothing. R-Drop runs twice: with as many updates as plain, and with half the epochs, which is what
# takes the same time if a step takes twice as long (here it takes a little less). Each run has its whole cosine.

# %%
smoothing = partial(objectives.cross_entropy, label_smoothing=0.1)
smoothed = train("label smoothing", smoothing, num_epochs)
agreeing = train("R-Drop, equal updates", r_drop, num_epochs)
halved = train("R-Drop, equal time", r_drop, max(1, num_epochs // 2))

# %% [markdown]
# Now test is read. *ROC-AUC* asks, for each class against the rest, how often a text of the class gets a higher
# probability for it than another text: 50 % is chance. It looks at the order of the probabilities, not at the largest
# one, and is averaged over the classes that occur.


# %%
def roc_auc(probabilities):
    is_class = np.eye(len(names))[gold["test"]]  # [rows, classes]
    occur = is_class.any(0)
    return roc_auc_score(is_class[:, occur], probabilities[:, occur], average="macro")


scored = {
    name: metrics.scores(gold["test"], made.argmax(1), len(names)) | {"roc_auc": roc_auc(made)}
    for name, made in answers.items()
}
(100 * pd.DataFrame(scored).T).round(1).assign(seconds=pd.Series(seconds).round(1))

# %%
best = {name: made.argmax(1) for name, made in answers.items()}
for name in ("label smoothing", "R-Drop, equal updates", "R-Drop, equal time"):
    found = metrics.paired_bootstrap(gold["test"], best["plain"], best[name], num_classes=len(names), seed=seed)
    low, high = 100 * found["low"], 100 * found["high"]
    print(
        f"{name} against plain: {100 * found['difference']:+.1f} points of weighted F1, "
        f"95 % interval {low:+.1f} to {high:+.1f}"
    )

# %% [markdown]
# Look at how wide the intervals are before you look at the differences; another seed would shift them, too. At equal
# time R-Drop makes half as many updates. With few texts these may be too few to learn the task at all; then its row
# shows that, and not what agreement is worth. The seconds are those of the updates alone.
#
# ## Did they come to agree?
#
# The KL on the sixteen watched texts, over training:

# %%
kl_curves = pd.DataFrame(curves).pivot(index="update", columns="run", values="KL")[list(answers)]
plots.run_curves(kl_curves, "KL of two passes (nats)")

# %% [markdown]
# A fresh head answers every text alike, so the KL starts near zero without any R-Drop. As a model learns to tell
# classes apart, its two passes part as well; R-Drop should hold them together. Compare with label smoothing, which has
# no such term: less sure answers also lie closer together, so a low KL alone does not show that the agreement term did
# it. Read off what you can, and how hard
# it could pull: alpha times this KL stands in the loss beside two cross-entropies, which start near 2 ln 3 = 2.2 for
# three classes. With few updates, a small alpha and 16 texts, the curves may cross by chance; run it again with
# `alpha = 5` or with all rows and compare. A low KL alone is no success: a model that always gives the same answer
# has none.
#
# The same three texts as above, after R-Drop at equal updates:

# %%
plots.dropout_spread(passes(agreeing), [texts["dev"][i] for i in chosen], names)

# %% [markdown]
# ## Calibration, before and after
#
# Lesson 3 asked whether a model is right as often as it says. R-Drop draws answers together, and label smoothing away
# from 100 %; both change confidence, not only labels. The expected calibration error in points, then plain and R-Drop
# in detail:

# %%
errors = {name: metrics.expected_calibration_error(gold["test"], made, num_bins=10) for name, made in answers.items()}
sureness = {name: float(made.max(1).mean()) for name, made in answers.items()}
(100 * pd.DataFrame({"calibration error": errors, "mean confidence": sureness})).round(1)

# %%
for name in ("plain", "R-Drop, equal updates"):
    print(name)
    plots.show(plots.reliability_diagram(metrics.reliability(gold["test"], answers[name], num_bins=10), errors[name]))

# %% [markdown]
# Bars above the dashed line mean too little confidence, below it too much. With this few rows, the error of a bin is
# mostly noise; read the counts.
#
# ## Curves in TensorBoard
#
# The Trainer writes event files when asked. A short run on 24 texts, then its file read back to see what is in it:


# %%
def weighted_f1(prediction):
    return {"weighted_f1": metrics.scores(prediction.label_ids, prediction.predictions.argmax(-1))["weighted_f1"]}


rows = {split: part[:24] for split, part in examples.items()}
small = {
    split: batching.make_dataloader(part, tokenizer.pad_token_id, batch_size=batch_size) for split, part in rows.items()
}
settings = {"num_epochs": 2, "precision": precision, "schedule": "cosine", "seed": seed, "tensorboard": True}
shutil.rmtree("board", ignore_errors=True)  # of an earlier run
arguments = training.make_training_arguments(
    "board", metric_for_best_model=None, eval_strategy="epoch", logging_steps=1, **settings
)
model = fresh_model()
optimizer = training.make_optimizer(model, lr, head_lr=10 * lr)
trainer = training.Trainer(
    model, arguments, r_drop, small["train"], small["dev"], optimizer=optimizer, compute_metrics=weighted_f1
)
_ = trainer.train()

# %%
(events,) = Path("board").glob("**/events.out.tfevents*")
log = EventAccumulator(str(events)).Reload()
logged = {name: [event.value for event in log.Scalars(name)] for name in log.Tags()["scalars"]}
curve_ends = {name: {"points": len(y), "first": y[0], "last": y[-1]} for name, y in logged.items()}
pd.DataFrame(curve_ends).T.map("{:.4g}".format)

# %% [markdown]
# In JupyterLab, `%load_ext tensorboard` and `%tensorboard --logdir board` show the folder, also while training runs.
# Mind that `train/loss` is R-Drop's whole loss, two cross-entropies and the KL, while `eval/loss` is the plain
# cross-entropy of one pass: the two curves are not on one scale. The Trainer takes `patience` and `threshold`, too.
#
# ## What goes wrong
#
# ### Two passes at evaluation
#
# The authors' copies of transformers' BERT and RoBERTa make both passes inside `forward`, at evaluation as well. With
# dropout off they agree exactly: evaluation costs twice as much for nothing. And where dropout is left on, because
# `model.eval()` was forgotten, one text has two answers:

# %%
several = first_texts(32)
for mode in ("eval", "train"):
    first, second = (logits.softmax(-1) for logits in two_answers(getattr(plain, mode)(), several))
    changed = (first.argmax(-1) != second.argmax(-1)).sum()
    print(
        f"{mode}(): probabilities differ by up to {(first - second).abs().max():.3f}, "
        f"labels differ for {changed} of {len(first)} texts"
    )

# %% [markdown]
# The helper makes one pass without KL at evaluation.
#
# ### KL summed over the batch
#
# `.sum()` over all of [texts, classes] is in the README and in the authors' copies of transformers (their fairseq code
# divides in the end). A mean depends on which texts are in the batch; a sum also on how many, so that the batch size
# tunes alpha behind your back. Four of the answers with dropout from the cell above, over and over:

# %%
both = ((first - second) * (first.log() - second.log())).sum(-1).cpu()  # KL(p || q) + KL(q || p) of each text
sizes = [4, 8, 16, 32]
pd.DataFrame(
    {
        "mean": [both[:4].repeat(size // 4).mean().item() for size in sizes],
        "sum": [both[:4].repeat(size // 4).sum().item() for size in sizes],
        "alpha that 0.5 * sum / 2 amounts to": [0.5 * size for size in sizes],
    },
    index=pd.Index(sizes, name="texts in the batch"),
).round(4)

# %% [markdown]
# `reduction="batchmean"` of `torch.nn.KLDivLoss` divides by the first dimension: right for [texts, classes], wrong for
# [texts, tokens, classes]. `reduction="mean"` divides by the classes, too.
#
# ### No dropout
#
# Without dropout both passes are the same, the KL is exactly 0, and you pay twice for plain training. ModernBERT, for
# one, comes with dropout 0. The helper says so:

# %%
bare = fresh_model().train()
for module in bare.modules():
    if isinstance(module, torch.nn.Dropout):
        module.p = 0.0
try:
    objectives.r_drop(bare, batch)
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# ### An alpha from another definition
#
# "We used alpha = 1" means little without the formula. By the table above, 1 in the README is 2 here. And at batch 32
# the authors' BERT code weighs the KL sixteen times as much as the paper's formula with alpha 1. Convert first, then
# tune.
#
# ### Equal epochs, double compute
#
# At equal epochs R-Drop has computed about twice as much. Plain training with twice the epochs, or a larger encoder,
# might have used the time better. Two comparisons are fair and answer different questions: equal updates asks whether
# the term helps, equal time whether it pays. The authors say that R-Drop needs more epochs than plain training
# ([issue 12](https://github.com/dropreg/R-Drop/issues/12)); with half of them it is judged hard.

# %%
ratio = seconds["R-Drop, equal updates"] / seconds["plain"]
print(
    f"in equal epochs R-Drop took {ratio:.1f} times as long as plain training; "
    f"in half of them, {seconds['R-Drop, equal time'] / seconds['plain']:.1f} times"
)

# %% [markdown]
# (Early stopping may have cut a run short.) The published gains deserve the same caution. For BERT-base the
# paper reports 62.6 on CoLA, 71.1 on RTE and 87.3 on MRPC (dev sets); a reader who ran the authors' code got 58.1, 66.4
# and 82.8 ([issue 30](https://github.com/dropreg/R-Drop/issues/30)). Others, too, stayed below the paper
# ([16](https://github.com/dropreg/R-Drop/issues/16), [23](https://github.com/dropreg/R-Drop/issues/23)). The authors
# answer that many of the tasks need particular seeds and settings, and that R-Drop still beats plain fine-tuning. A
# reader who did see a gain ([6](https://github.com/dropreg/R-Drop/issues/6)) gave R-Drop 6 epochs and the baseline 3,
# and named the best of ten seeds.
#
# ## Where this stands: MELD
#
# All rows with the embedded encoder and the same settings; means over seeds with their standard deviation. Again with
# `nbhelpers results meld`; the settings stand in `nbhelpers/course/tables/meld.yml`.

# %%
results.summary("meld", rows=["utterance only", "R-Drop, equal updates", "R-Drop, equal time", "label smoothing"])

# %% [markdown]
# Column "difference" compares each row with the first, seed by seed on the same test rows, with a 95 % interval: look
# for zero in it before you call a difference an improvement. "No difference" is a result, too. With dialogue context
# (lesson 6), again five seeds:

# %%
results.summary("context", rows=["past and future, R-Drop", "past only, R-Drop"])

# %% [markdown]
# A small encoder and one corpus: no verdict on R-Drop in general.
#
# ## Exercise
#
# Write the agreement term yourself, for one text: two lists of logits, for instance `[2.0, 0.5, -1.0]` and `[0.0, 0.0,
# 0.0]`, give (KL(p || q) + KL(q || p)) / 2 of their softmax, in nats.


# %%
def symmetric_kl(first, second):
    return None  # your code


check("kl", symmetric_kl)

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
# Σ p (log p − log q) + Σ q (log q − log p) is Σ (p − q) (log p − log q), one line for both directions.
# </details>
#
# ## Recap
#
# - R-Drop: two passes with different dropout, both cross-entropies, and alpha times the mean of both KL.
# - One formula, every alpha converted to it; KL summed over classes, averaged over texts; nothing at evaluation.
# - One pass over the doubled batch is the same loss as two passes.
# - It computes twice as much per update: measure what that takes, then compare at equal updates and at equal time,
#   over several seeds.
#
# The value this lesson is known by in the course's table: how much of the plain model's disagreement is left, on
# sixteen texts with one seed.

# %%
last = kl_curves.ffill().iloc[-1]
headline("KL of two passes, R-Drop / plain", last["R-Drop, equal updates"] / last["plain"])
