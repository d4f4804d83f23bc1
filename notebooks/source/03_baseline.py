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
# # 3. An honest baseline
#
# After this lesson you can
#
# - fine-tune an encoder with a loop you have read, and get the same curve from transformers' Trainer,
# - report scores with intervals, compare two models on the same rows, and read a calibration curve,
# - save a model, reload it with identical answers, and resume a run that was killed.
#
# <!-- facts -->
# Minutes and memory: not measured yet.
# <!-- /facts -->
#
# A baseline is what later ideas must beat, so it has to be as good as its method allows. This one goes up in steps:
# always the commonest class, a bag of words, an encoder that is not trained, and an encoder that is. Every model is
# chosen on dev; test is read once per model, at the end.

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
import inspect
import shutil
import time
from functools import partial

import pandas as pd
import torch
import transformers
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from nbhelpers import batching, corpora, encoders, environment, metrics, objectives, plots, training
from nbhelpers.course import results
from nbhelpers.course.headline import headline

transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show

# %% cellView="form" tags=["parameters"]
# @markdown "sample" (comes with the course), "meld" (downloaded when missing), or a folder in MELD's format.
corpus = "sample"  # @param {type: "string"}
# @markdown "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown What the head reads: "mean" of all tokens, or "cls", the first one.
pooling = "mean"  # @param ["mean", "cls"]
# @markdown Passes over the training data; the best one on dev is kept.
num_epochs = 5  # @param {type: "integer"}
# @markdown Peak learning rate of the encoder.
lr = 2e-4  # @param {type: "number"}
# @markdown Peak learning rate of the fresh head, which has everything still to learn.
head_lr = 1e-3  # @param {type: "number"}
# @markdown At most this many texts in a batch.
max_items = 32  # @param {type: "integer"}
# @markdown Use only this many rows of each split; 0 uses all.
num_rows = 0  # @param {type: "integer"}
# @markdown The number that random choices start from.
seed = 0  # @param {type: "integer"}

# %%
data = corpora.load(corpus)
if num_rows:
    data = corpora.DatasetDict({name: part.select(range(min(num_rows, len(part)))) for name, part in data.items()})
names = data["train"].features["emotion"].names
texts = {split: part["text"][:] for split, part in data.items()}
gold = {split: part["emotion"][:] for split, part in data.items()}
{split: len(labels) for split, labels in gold.items()}

# %% [markdown]
# ## Step 1: always the commonest class
#
# The floor. Its accuracy looks respectable, its macro F1 does not.

# %%
predictions = {"majority": metrics.majority(gold["train"], len(gold["test"]))}
metrics.scores(gold["test"], predictions["majority"], len(names))

# %% [markdown]
# ## Step 2: a bag of words
#
# TF-IDF counts words, pairs of words, and pieces of words (which catch "nooo" and "can't"); logistic regression weighs
# them. It trains in seconds, and on many tasks it is hard to beat. Skip it, and you will not know what the encoder is
# for.

# %%
words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
bag = make_pipeline(make_union(words, pieces), LogisticRegression(C=4, max_iter=2000))
bag.fit(texts["train"], gold["train"])
predictions["TF-IDF"] = bag.predict(texts["test"])
metrics.scores(gold["test"], predictions["TF-IDF"], len(names))

# %% [markdown]
# ## Step 3: the encoder as it comes
#
# Tokenize once, then batch texts of like length, each batch padded only to its own longest text. Dev and test go through
# the same batches without shuffling.

# %%
device = environment.best_device()
precision, reason = environment.best_precision(device)
tokenizer, _ = encoders.load(encoder, names, pooling=pooling)
examples = {split: batching.tokenize(texts[split], tokenizer, labels=gold[split]) for split in data}
batches = {
    split: batching.loader(rows, tokenizer.pad_token_id, max_items=max_items, shuffle=split == "train", seed=seed)
    for split, rows in examples.items()
}
print(f"{len(batches['train'])} training batches; on {device.type} in {precision}: {reason}")

# %% [markdown]
# Three small functions serve the rest of the lesson: a fresh model, its predictions for a split, its score on dev.


# %%
def fresh_model():
    environment.set_seed(seed)  # the same fresh head and the same dropout each time
    return encoders.load(encoder, names, pooling=pooling)[1].to(device)


def predict(model, split):
    return training.predict(model, batches[split], precision=precision).argmax(-1).numpy()


def dev_score(model):
    return metrics.scores(gold["dev"], predict(model, "dev"), len(names))["weighted_f1"]


# %% [markdown]
# First the encoder stays frozen: only the head learns to read what general pre-training left there. A head alone bears a
# high learning rate.

# %%
model = fresh_model()
training.freeze_encoder(model)
optimizer = training.make_optimizer(model, lr, head_lr=1e-2)
scheduler = training.make_scheduler(optimizer, num_epochs * len(batches["train"]))
settings = {"num_epochs": num_epochs, "precision": precision, "evaluate": dev_score}
training.fit(model, batches["train"], objectives.cross_entropy, optimizer, scheduler, **settings)
predictions["frozen encoder"] = predict(model, "test")
metrics.scores(gold["test"], predictions["frozen encoder"], len(names))

# %% [markdown]
# ## Step 4: fine-tuning
#
# Now every weight may move. What happens in training is not hidden; this is the whole loop:

# %%
print(inspect.getsource(training.fit).split('"""')[2])

# %% [markdown]
# Read it once from top to bottom. Per update: forward in low precision, an **objective** that gives one number, backward,
# clip, step. Per epoch: score on dev, remember the best weights. The objective is a parameter, because later lessons
# change nothing else. This one is cross-entropy:

# %%
print(inspect.getsource(objectives.mean_loss).split('"""')[2])

# %% [markdown]
# The optimizer is AdamW, with a warm-up so that the first, wild gradients of the fresh head do not tear up the encoder.
# The encoder's learning rate is small, the head's larger.


# %%
def show_epoch(row):
    if "dev_score" in row:
        print(f"epoch {row['epoch']:.0f} of {num_epochs}: weighted F1 on dev {100 * row['dev_score']:.1f}")


model = fresh_model()
optimizer = training.make_optimizer(model, lr, head_lr=head_lr)
scheduler = training.make_scheduler(optimizer, num_epochs * len(batches["train"]))
environment.set_seed(seed)
objective = objectives.cross_entropy
history = training.fit(model, batches["train"], objective, optimizer, scheduler, log=show_epoch, **settings)
predictions["fine-tuned"] = predict(model, "test")

# %%
curve = pd.DataFrame(history).rename(columns={"dev_score": "dev_weighted_f1"})
plots.learning_curves(curve[["epoch", "train_loss", "dev_weighted_f1"]])

# %% [markdown]
# Watch the two curves together. When the training loss keeps falling while the dev score stays or falls, the model
# learns the training set by heart; the loop kept the weights from before that.
#
# ### The same with the Trainer
#
# transformers' `Trainer` adds what long runs need: checkpoints, resuming, TensorBoard, several devices. Ours is a thin
# subclass that takes the same objective and the same batches. If the loop above is right, both must give the same curve:

# %%
again = fresh_model()
optimizer = training.make_optimizer(again, lr, head_lr=head_lr)
arguments = partial(training.arguments, "checkpoints", num_epochs=num_epochs, precision=precision, seed=seed)
trainer = training.Trainer(again, arguments(score=None, logging_steps=1), objective, batches["train"], optimizer=optimizer)
environment.set_seed(seed)
trainer.train()
by_trainer = [row["loss"] for row in trainer.state.log_history if "loss" in row]
by_loop = [row["train_loss"] for row in history if "train_loss" in row]
print(f"{len(by_loop)} updates, largest difference of the loss: {max(abs(a - b) for a, b in zip(by_loop, by_trainer)):.1e}")

# %% [markdown]
# ## What the scores say, and how surely
#
# A test set is a sample; another one would have given other scores. The bootstrap draws the test rows again and again
# (with repetition) and shows how far a score moves. The bars hold 95 % of the draws.

# %%
rows = {}
for name, predicted in predictions.items():
    score = 100 * metrics.scores(gold["test"], predicted, len(names))["weighted_f1"]
    low, high = metrics.bootstrap_ci(gold["test"], predicted, num_classes=len(names), seed=seed)
    rows[name] = {"score": score, "low": 100 * low, "high": 100 * high}
plots.score_bars(pd.DataFrame(rows).T)

# %% [markdown]
# Overlapping bars do not mean "no difference": both models were tested on the same rows, and easy rows are easy for both.
# A **paired** test looks at the difference row by row.

# %%
pair = metrics.paired_bootstrap(
    gold["test"], predictions["TF-IDF"], predictions["fine-tuned"], num_classes=len(names), seed=seed
)
print(f"fine-tuned - TF-IDF: {100 * pair['difference']:+.1f} points of weighted F1, "
      f"95 % interval {100 * pair['low']:+.1f} to {100 * pair['high']:+.1f}, p = {pair['p_value']:.3f}")

# %% [markdown]
# One score hides the classes. Look at recall and support together: a class with ten test rows moves by ten points when
# one row changes.

# %%
metrics.per_class(gold["test"], predictions["fine-tuned"], names).round(2)

# %%
plots.confusion_matrix(metrics.confusion(gold["test"], predictions["fine-tuned"], names))

# %% [markdown]
# ### Does it know when it does not know?
#
# A model that says "90 %" should be right nine times out of ten. The reliability diagram compares what it says with how
# often it is right; the expected calibration error is the average gap.

# %%
logits = training.predict(model, batches["test"], precision=precision)
probabilities = logits.softmax(-1).numpy()
error = metrics.expected_calibration_error(gold["test"], probabilities, num_bins=10)
plots.reliability_diagram(metrics.reliability(gold["test"], probabilities, num_bins=10), error)

# %% [markdown]
# ### The most confident mistakes
#
# No number teaches as much about a model as its worst errors. Twenty turns where it was surest and wrong:

# %%
mistakes = pd.DataFrame({
    "text": texts["test"],
    "gold": [names[i] for i in gold["test"]],
    "predicted": [names[i] for i in probabilities.argmax(1)],
    "confidence": probabilities.max(1).round(2),
})
wrong = mistakes[mistakes["gold"] != mistakes["predicted"]]
wrong.nlargest(20, "confidence").style.hide().format({"confidence": "{:.2f}"})

# %% [markdown]
# Sort them in your mind: wrong label, needs the turn before, irony, or truly misread? Only the last kind is the model's
# own fault, and only the second can be mended by context.
#
# ## What goes wrong
#
# ### Padding everything to 128
#
# The commonest line in tutorials is `padding="max_length"`. The answers stay the same; here is what it costs for the
# forward pass over dev:


# %%
def seconds(rows, padded_to):
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
    collate = batching.Collate(tokenizer.pad_token_id, multiple=padded_to)
    loader = torch.utils.data.DataLoader(rows, batch_sampler=[order[i:i + 32] for i in range(0, len(rows), 32)], collate_fn=collate)
    start = time.perf_counter()
    training.predict(model, loader, precision=precision)
    return time.perf_counter() - start


fixed, dynamic = (min(seconds(examples["dev"], width) for _ in range(2)) for width in (128, 1))
print(f"padded to 128: {fixed:.2f} s; padded to the longest of the batch: {dynamic:.2f} s; {fixed / dynamic:.1f} times slower")

# %% [markdown]
# ### Gradient accumulation that changes the loss
#
# When memory is short, one adds up the gradients of several small batches before a step; the result should be that of
# one big batch. With the stock Trainer of transformers 5.23 and a RoBERTa or BERT classifier it is not: the loss is not
# divided by the number of batches ([issue 47688](https://github.com/huggingface/transformers/issues/47688)). Measure it
# in float32 without dropout, on the same 16 texts, as one batch of 16 and as four of 4:


# %%
def first_update(trainer_for, micro_batch):
    environment.set_seed(seed)
    model = encoders.load(encoder, names, pooling="cls")[1].to(device)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    trainer = trainer_for(model, examples["train"][:16], micro_batch)
    trainer.train()
    return {name: trainer.state.log_history[0][name] for name in ("loss", "grad_norm")}


def stock(model, rows, size):
    options = training.arguments("checkpoints", num_epochs=1, accumulate=16 // size, score=None, logging_steps=1,
                                 per_device_train_batch_size=size)
    trainer = transformers.Trainer(model, options, batching.Collate(tokenizer.pad_token_id), rows)
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def ours(model, rows, size):
    options = training.arguments("checkpoints", num_epochs=1, accumulate=16 // size, score=None, logging_steps=1)
    small = batching.loader(rows, tokenizer.pad_token_id, max_items=size)
    return training.Trainer(model, options, objective, small, optimizer=training.make_optimizer(model, lr))


# %%
pd.DataFrame({
    f"{kind.__name__}, {16 // size} x {size} texts": first_update(kind, size)
    for kind in (stock, ours) for size in (16, 4)
}).T.round(4)

# %% [markdown]
# With the stock Trainer, cutting the batch in four makes loss and gradient four times as large. The course's Trainer
# weighs each small batch by its number of labelled texts, so that the step stays the same, even when the batches differ
# in size.
#
# ### Choosing on test
#
# Many papers and posts keep the epoch that is best *on test* and report its score. That score is the best of several
# draws and not what new data will give. Here dev chooses, and the test set was not looked at until the choice was made.
#
# ## Save, reload, resume
#
# A saved model is a folder: weights, configuration with the label names, tokenizer. Reloaded, it must answer exactly as
# before:

# %%
model.save_pretrained("model")
tokenizer.save_pretrained("model")
reloaded_tokenizer, reloaded = encoders.load_trained("model")
difference = (training.predict(reloaded.to(device), batches["test"], precision=precision) - logits).abs().max()
print(f"largest difference of the logits: {difference:.1e}; labels: {', '.join(reloaded.config.id2label.values())}")

# %% [markdown]
# A run that was killed goes on from its last checkpoint, which holds the optimizer, the schedule, the random state and
# the place in the data as well. To prove it, train on 320 texts three times: undisturbed, killed after update 6, and
# resumed.


# %%
class PullThePlug(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if state.global_step == 6:
            raise KeyboardInterrupt


def short_run(folder, callbacks=None, resume=False):
    model = fresh_model()
    options = training.arguments(f"checkpoints/{folder}", num_epochs=1, precision=precision, score=None,
                                 save_strategy="steps", save_steps=4, seed=seed)
    small = batching.loader(examples["train"][:320], tokenizer.pad_token_id, max_items=32, seed=seed)
    optimizer = training.make_optimizer(model, lr, head_lr=head_lr)
    trainer = training.Trainer(model, options, objective, small, optimizer=optimizer, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


# %%
undisturbed = short_run("undisturbed")
try:
    short_run("killed", callbacks=[PullThePlug()])
except KeyboardInterrupt:
    print("killed after update 6; the last checkpoint is of update 4")
resumed = short_run("killed", resume=True)
weights = zip(undisturbed.model.parameters(), resumed.model.parameters(), strict=True)
print("the same weights in the end:", all(torch.equal(a, b) for a, b in weights))
shutil.rmtree("checkpoints")

# %% [markdown]
# ## Where this stands
#
# The same method on MELD, measured with several seeds. Every row can be had again with `nbhelpers results utterance`;
# rows with a source are what others published.

# %%
results.summary("utterance").style.hide()

# %% [markdown]
# ## Recap
#
# - Floors first: the commonest class and a bag of words cost seconds and tell what the encoder adds.
# - The loop fits on a page; the Trainer gives the same curve and adds checkpoints.
# - A score has an interval, a comparison a paired test, a probability a calibration.
# - Dev chooses, test is read once.

# %%
headline("test weighted F1", metrics.scores(gold["test"], predictions["fine-tuned"], len(names))["weighted_f1"])
