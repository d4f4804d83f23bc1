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
# - fine-tune an encoder with a loop that you have read, and get the same curve from transformers' Trainer,
# - report scores with intervals, compare two models on the same rows, and read a calibration curve,
# - save a model, reload it with identical predictions, and resume a run that was interrupted.
#
# <!-- facts -->
# Measured: default profile 3.1 min, 2.4 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# A baseline is the score that later ideas must beat. A weak baseline makes every later idea look good, so it deserves
# care. This lesson builds it in four steps: always the most frequent class, a bag of words, an encoder whose weights
# stay as they are, and an encoder that is trained. All choices (the settings of the bag of words, the best epoch of the
# encoder) are made on dev. The other settings are fixed in advance. Test scores are computed when all training is done.
#
# The setup cell does nothing if the course is already installed.

# %% Setup
try:
    from nbhelpers import environment
except ImportError:  # on Colab or Kaggle, after:  !git clone <the address of this course> nbhelpers
    from runpy import run_path

    run_path("nbhelpers/notebooks/colab.py")

# %%
import copy
import inspect
import shutil
import time
from functools import partial

import pandas as pd
import torch
import transformers
from datasets import DatasetDict
from IPython.display import Code, Markdown
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from nbhelpers import batching, classifier, corpora, encoders, environment, metrics, objectives, plots, training
from nbhelpers.course.lesson import check, diagrams, headline, load_splits, quiz, results

# %% [markdown]
# This is how a text becomes probabilities. The lesson is about the blue part:

# %%
diagrams.path(["pooling", "head", "softmax"])

# %% [markdown]
# What can be set in this lesson:

# %% cellView="form" tags=["parameters"]
# @markdown "dialogues" or "reviews" (included in the course), "meld", or a file or folder with text and label.
corpus = "dialogues"  # @param {type: "string"}
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
# @markdown Number of passes over the training data; the epoch with the best dev score is kept.
num_epochs = 3  # @param {type: "integer"}
# @markdown Peak learning rate of the encoder; larger encoders need less, roberta-large about 0.00001.
lr = 1e-4  # @param {type: "number"}
# @markdown Peak learning rate of the new head, which starts from random weights.
head_lr = 1e-3  # @param {type: "number"}
# @markdown Largest number of texts in a batch.
batch_size = 32  # @param {type: "integer"}
# @markdown Use only this many rows of each split, spread over it; 0 uses all.
num_rows = 0  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# Load the corpus. Where test or dev is missing, as in a single file, `load_splits` holds out a fifth of train.
# `gold` has the labels of each split, the ones that count as correct:

# %%
transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show
transformers.utils.logging.set_verbosity_error()  # no notes about the time stamps of checkpoints
data = load_splits(corpus, num_rows, text=text, label=label, dialogue=dialogue, seed=seed)
names = data["train"].features["label"].names
texts = {split: part["text"][:] for split, part in data.items()}
gold = {split: part["label"][:] for split, part in data.items()}
{split: len(labels) for split, labels in gold.items()}

# %% [markdown]
# Each step stores its predictions for dev and test. Until the last model is trained, only dev is scored:

# %%
predictions = {}


def score_table(split):
    scores = {
        model_name: metrics.scores(gold[split], predicted[split], len(names))
        for model_name, predicted in predictions.items()
    }
    return (100 * pd.DataFrame(scores).T).round(1)


# %% [markdown]
# ## Step 1: always the most frequent class
#
# This is the lowest score that a useful model must beat.

# %%
predictions["majority"] = {split: metrics.majority(gold["train"], len(gold[split])) for split in gold}
score_table("dev")

# %% [markdown]
# The accuracy looks acceptable. Macro F1 shows that the model finds only one class.
#
# ## Step 2: a bag of words
#
# TF-IDF counts words and pairs of words (a punctuation mark is a word here) and gives less weight to frequent ones. It
# also counts pieces of words, which catch "nooo" and "can't!". Logistic regression learns a weight for each of them;
# with `balanced`, rare classes count as much as frequent ones. Training takes seconds, and the score shows what the
# encoder adds. A simple baseline deserves care as well, so these settings were chosen on dev.

# %%
words = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True)
word_pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, lowercase=False)
regression = LogisticRegression(C=4, class_weight="balanced", max_iter=2000)
bag_of_words = make_pipeline(make_union(words, word_pieces), regression)
bag_of_words.fit(texts["train"], gold["train"])
predictions["TF-IDF"] = {split: bag_of_words.predict(texts[split]) for split in gold}
score_table("dev")

# %% [markdown]
# The bag of words is far above the most frequent class, in macro F1 as well.
#
# ## Step 3: the encoder without training
#
# The texts are tokenized once. A *DataLoader* then makes batches of texts of similar length, each padded only to its
# own longest text. The batches of dev and test are made in the same way, but not shuffled.

# %%
device = environment.best_device()
precision, reason = environment.best_precision(device)
tokenizer, _ = encoders.load(encoder, names, pooling=pooling)
examples = {split: batching.tokenize(texts[split], tokenizer, labels=gold[split]) for split in data}
dataloaders = {
    split: batching.make_dataloader(
        examples[split], tokenizer.pad_token_id, batch_size=batch_size, shuffle=split == "train", seed=seed
    )
    for split in data
}
print(f"{len(dataloaders['train'])} training batches; on {device.type} in {precision}: {reason}")

# %% [markdown]
# Two small functions follow: one loads the encoder with a new head, the other predicts a split.


# %%
def new_model():
    environment.set_seed(seed)  # the same random head each time
    return encoders.load(encoder, names, pooling=pooling)[1].to(device)


def predict(model, split):
    return training.predict(model, dataloaders[split], precision=precision).argmax(-1).numpy()


# %% [markdown]
# Training minimizes an **objective**: one number per batch, also called the *loss*. Here it is *cross-entropy*, the
# negative logarithm of the probability that the model gives to the correct class, averaged over the batch. The next
# cell computes it by hand on one batch, and with the helper:

# %%
model = new_model().eval()
batch = {name: tensor.to(device) for name, tensor in next(iter(dataloaders["dev"])).items()}
logits = model(batch["input_ids"], batch["attention_mask"]).logits  # [batch, classes]
labels = batch["labels"]
by_hand = -logits.log_softmax(-1)[range(len(labels)), labels].mean()
print(f"by hand {by_hand:.6f}, objectives.cross_entropy {objectives.cross_entropy(model, batch):.6f}")

# %% [markdown]
# Both numbers agree. (*Logits* are the outputs of the model before the softmax.)
#
# Training repeats a few steps for each batch:

# %%
diagrams.loop()

# %% [markdown]
# In code there are five: compute the loss in the chosen precision, compute its gradients, update the weights, move to
# the next learning rate, and reset the gradients. At first the encoder is frozen: only the head learns, from the
# vectors that the encoder gives without any training on this task. A head trained on a frozen encoder tolerates a high
# learning rate.

# %%
model = new_model()
training.freeze_encoder(model)
optimizer = training.make_optimizer(model, lr, head_lr=1e-2)
scheduler = training.make_scheduler(optimizer, num_epochs * len(dataloaders["train"]))
for epoch in range(num_epochs):
    model.train()  # turns dropout on; evaluation would turn it off
    training.set_epoch(dataloaders["train"], epoch)
    for batch in dataloaders["train"]:
        with training.autocast(device, precision):
            loss = objectives.cross_entropy(model, {name: tensor.to(device) for name, tensor in batch.items()})
        loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    print(f"epoch {epoch + 1} of {num_epochs}: loss of the last batch {loss:.2f}")

# %%
predictions["frozen encoder"] = {split: predict(model, split) for split in gold}
score_table("dev")

# %% [markdown]
# Compare weighted and macro F1 with those of TF-IDF. Is an encoder that must not learn worth its cost?
#
# ## Step 4: fine-tuning
#
# So far only the head was trained. There are three ways to go on:

# %%
diagrams.fine_tuning()

# %% [markdown]
# Now all weights are trained. `training.fit` is the loop above with what real runs need. It uses the chosen precision.
# It can add up the gradients of several batches before an update (*gradient accumulation*). It clips the norm of the
# gradient to 1, so that one unusual batch cannot spoil the model. After each epoch it computes a score on dev, and in
# the end it restores the weights of the best epoch. This is its code; the small functions that it calls are in the same
# folder, `nbhelpers/training`:

# %%
Code(inspect.getsource(training.fit), language="python")

# %% [markdown]
# The optimizer is AdamW. Its learning rate first rises (*warm-up*), because the large gradients of a new head could
# damage the encoder, and then falls to zero. The head has a higher learning rate than the encoder.
#
# `fit` calls two functions of ours: `dev_score` after each epoch, and `print_epoch` with each row of the history.


# %%
def dev_score(model):
    return metrics.scores(gold["dev"], predict(model, "dev"), len(names))["weighted_f1"]


def print_epoch(row):
    if "dev_score" in row:
        print(f"epoch {row['epoch']:.0f} of {num_epochs}: weighted F1 on dev {100 * row['dev_score']:.1f}")


# %%
model = new_model()
optimizer = training.make_optimizer(model, lr, head_lr=head_lr)
scheduler = training.make_scheduler(optimizer, num_epochs * len(dataloaders["train"]))
print(f"training will take about {environment.training_memory(model, max_tokens=4096):.1f} GiB")
settings = {"num_epochs": num_epochs, "precision": precision, "evaluate": dev_score, "log": print_epoch}
objective = objectives.cross_entropy
environment.set_seed(seed)  # the same dropout as in the run with the Trainer below
history = training.fit(model, dataloaders["train"], objective, optimizer, scheduler, **settings)

# %% [markdown]
# Draw the loss on train, averaged over each epoch, and the score on dev:

# %%
curve = pd.DataFrame(history)
curve["epoch"] = -(-curve["epoch"] // 1)  # rounded up
curve = curve.groupby("epoch")[["train_loss", "dev_score"]].mean().reset_index()
plots.learning_curves(curve.rename(columns={"dev_score": "dev_weighted_f1"}))

# %% [markdown]
# Read the two curves together. If the training loss keeps falling while the dev score stays the same or falls, the
# model *overfits*: it memorizes the training set. In that case `fit` has kept the weights from before.
#
# ### The same with the Trainer
#
# transformers' `Trainer` adds what long runs need: checkpoints, resuming, TensorBoard, several devices. Our `Trainer`
# is a small subclass that takes the same objective and the same DataLoaders. (It was tested on one device.) If the loop
# and the Trainer do the same, their losses must be equal at every update (on a GPU, up to rounding). The first 100
# updates are enough to check this. A *callback*, which the Trainer calls after each update, stops it there:


# %%
class StopAfter100(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = state.global_step >= 100


trainer_model = new_model()
optimizer = training.make_optimizer(trainer_model, lr, head_lr=head_lr)
options = {"precision": precision, "metric_for_best_model": None, "logging_steps": 1, "seed": seed}
arguments = training.make_training_arguments("lesson_03_checkpoints", num_epochs=num_epochs, **options)
trainer = training.Trainer(
    trainer_model, arguments, objective, dataloaders["train"], optimizer=optimizer, callbacks=[StopAfter100()]
)
environment.set_seed(seed)
trainer.train()

# %%
trainer_losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
loop_losses = [row["train_loss"] for row in history if "train_loss" in row][: len(trainer_losses)]
largest = max(abs(a - b) for a, b in zip(loop_losses, trainer_losses, strict=True))
print(f"{len(loop_losses)} updates, largest difference of the loss: {largest:.1e}")

# %% [markdown]
# ## What the scores say, and how certain they are
#
# All models are trained. Only now the test split is scored.

# %%
logits = {split: training.predict(model, dataloaders[split], precision=precision) for split in ("dev", "test")}
predictions["fine-tuned"] = {split: split_logits.argmax(-1).numpy() for split, split_logits in logits.items()}
score_table("test")

# %% [markdown]
# A test set is a sample. With another sample, the scores would have been different. The **bootstrap** estimates how
# different: it draws rows of the test set again and again, with replacement, and computes the score of each draw. The
# bars in the picture hold 95 % of the draws; each is a *confidence interval*.

# %%
bars = {}
for model_name, predicted in predictions.items():
    low, high = metrics.bootstrap_ci(gold["test"], predicted["test"], num_classes=len(names), seed=seed)
    score = metrics.scores(gold["test"], predicted["test"], len(names))["weighted_f1"]
    bars[model_name] = {"score": 100 * score, "low": 100 * low, "high": 100 * high}
plots.score_bars(pd.DataFrame(bars).T, measure="weighted F1 (%)")

# %% [markdown]
# Do not use such bars to compare two models. Both models were tested on the same rows, and easy rows are easy for both.
# A **paired** test uses this: in each draw, it computes the difference of the two scores on the same rows. Its p-value
# is small if few draws show no advantage. With 2,000 draws it cannot be smaller than 0.001.

# %%
compare = partial(metrics.paired_bootstrap, gold["test"], num_classes=len(names), seed=seed)
for baseline in ("TF-IDF", "frozen encoder"):
    comparison = compare(predictions[baseline]["test"], predictions["fine-tuned"]["test"])
    low, high = 100 * comparison["low"], 100 * comparison["high"]
    print(
        f"fine-tuned against {baseline}: {100 * comparison['difference']:+.1f} points of weighted F1, "
        f"95 % interval {low:+.1f} to {high:+.1f}, p = {comparison['p_value']:.3f}"
    )

# %% [markdown]
# The interval covers the choice of test rows, but not the choice of the seed. It also treats turns as independent,
# although turns of one dialogue are not. So it is somewhat too narrow. And this is one seed with few epochs; the tables
# at the end of the lesson have five seeds and four epochs.
#
# One score hides the classes, so look at each of them. *Support* is the number of test rows of a class. If a class has
# ten rows, one changed prediction moves its recall by ten points.

# %%
(100 * metrics.per_class(gold["test"], predictions["fine-tuned"]["test"], names)).round(1).assign(
    support=lambda frame: (frame["support"] / 100).astype(int)
)

# %% [markdown]
# A *confusion matrix* counts which class is predicted for which. It uses dev, because whoever studies the errors on
# test begins to tune the model on test.

# %%
plots.confusion_matrix(metrics.confusion(gold["dev"], predictions["fine-tuned"]["dev"], names))

# %% [markdown]
# Each line is a gold class. Read along the line to see as what its turns are predicted.
#
# **Exercise.** Which class has the lowest recall? Write its name.

# %%
weakest_class = None  # your answer, in quotation marks
check("03-weakest", weakest_class, metrics.confusion(gold["dev"], predictions["fine-tuned"]["dev"], names))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# confusion = metrics.confusion(gold["dev"], predictions["fine-tuned"]["dev"], names)
# recall = pd.Series(confusion.to_numpy().diagonal() / confusion.sum(axis=1), index=names)
# weakest_class = recall.idxmin()
# ```
# </details>
#
# ### Calibration: does the model know when it is uncertain?
#
# If a model says "90 %", it should be right nine times out of ten. The *reliability diagram* compares the probability
# of the predicted class with how often the prediction is right. The *expected calibration error* (ECE) is the average
# gap.

# %%
probabilities = {split: split_logits.softmax(-1).numpy() for split, split_logits in logits.items()}
calibration_error = metrics.expected_calibration_error(gold["test"], probabilities["test"], num_bins=10)
bins = metrics.reliability(gold["test"], probabilities["test"], num_bins=10)
plots.reliability_diagram(bins, calibration_error)

# %% [markdown]
# A bar below the dashed line means too much confidence. Before you draw conclusions from a bin, look at its number of
# rows.
#
# One number corrects most of it. **Temperature scaling** ([Guo et al. 2017](https://arxiv.org/abs/1706.04599)) divides
# all logits by a *temperature*. Above 1 it makes the probabilities less extreme, and below 1 more extreme. The order of
# the classes stays the same, so no prediction changes. We choose the temperature that gives the labels of dev the
# highest likelihood, and then use it on test:

# %%
temperature = metrics.fit_temperature(logits["dev"], gold["dev"])
calibrated = (logits["test"] / temperature).softmax(-1).numpy()
error_after = metrics.expected_calibration_error(gold["test"], calibrated, num_bins=10)
print(f"temperature {temperature:.2f}; calibration error {calibration_error:.1%} before, {error_after:.1%} after")
plots.reliability_diagram(metrics.reliability(gold["test"], calibrated, num_bins=10), error_after)

# %% [markdown]
# ### The most confident mistakes
#
# Scores do not show what goes wrong; examples do. The table shows up to twenty dev turns where the prediction is wrong
# and the model is most confident:

# %%
dev_turns = pd.DataFrame(
    {
        "text": texts["dev"],
        "gold": [names[i] for i in gold["dev"]],
        "predicted": [names[i] for i in predictions["fine-tuned"]["dev"]],
        "confidence": probabilities["dev"].max(1).round(2),
    }
)
# no formulas: Jupyter would show a text between two dollar signs as one
pd.set_option("display.max_colwidth", 120, "display.html.use_mathjax", False)
mistakes = dev_turns[dev_turns["gold"] != dev_turns["predicted"]]
mistakes.nlargest(20, "confidence").reset_index(drop=True)

# %% [markdown]
# For each turn, decide which kind of mistake it is: the label is doubtful, the turn needs the turns around it, it is
# irony, or the model simply misread it. Context may fix the second and the third kind. For the first kind, check the
# labels.
#
# ## What goes wrong
#
# ### Padding everything to 128
#
# Many tutorials write `padding="max_length"`. The next cell predicts dev twice, in the same order. The predictions are
# equal up to rounding, and only the width of the batches differs.


# %%
def timed_predictions(examples, width):
    by_length = sorted(range(len(examples)), key=lambda i: len(examples[i]["input_ids"]))
    batches = [by_length[start : start + 32] for start in range(0, len(examples), 32)]
    collator = batching.Collator(tokenizer.pad_token_id, pad_to_multiple_of=width)
    dataloader = torch.utils.data.DataLoader(examples, batch_sampler=batches, collate_fn=collator)
    start = time.perf_counter()
    logits = training.predict(model, dataloader, precision=precision)
    return time.perf_counter() - start, logits.softmax(-1)


# %%
timed_predictions(examples["dev"], width=1)  # the first pass is slower because it also sets things up
fixed_seconds, fixed = timed_predictions(examples["dev"], width=128)
dynamic_seconds, dynamic = timed_predictions(examples["dev"], width=1)
times = fixed_seconds / dynamic_seconds
print(f"padded to 128 {fixed_seconds:.2f} s, to the longest text {dynamic_seconds:.2f} s: {times:.1f} times as long")
print(f"largest difference of the probabilities: {(fixed - dynamic).abs().max():.3f}")

# %% [markdown]
# ### Gradient accumulation that changes the loss
#
# If memory is short, one adds up the gradients of several small batches before an update. The result should be the same
# as with one large batch. With the Trainer of transformers 5.23 and a RoBERTa or BERT classifier it is not, because the
# loss is not divided by the number of batches
# ([issue 47688](https://github.com/huggingface/transformers/issues/47688)). The next cells measure this in fp32 without
# dropout. They use the same 16 texts, once as one batch of 16 and once as four batches of 4, with the Trainer of
# transformers ("stock") and with ours:


# %%
def stock_trainer(model, examples, size, arguments):
    trainer = transformers.Trainer(model, arguments, batching.Collator(tokenizer.pad_token_id), examples)
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def our_trainer(model, examples, size, arguments):
    dataloader = batching.make_dataloader(examples, tokenizer.pad_token_id, batch_size=size)
    return training.Trainer(model, arguments, objective, dataloader, optimizer=training.make_optimizer(model, lr))


# %%
def first_update(make_trainer, size):
    environment.set_seed(seed)
    model = encoders.load(encoder, names, pooling="cls")[1].to(device)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    options = {"gradient_accumulation_steps": 16 // size, "per_device_train_batch_size": size, "logging_steps": 1}
    arguments = training.make_training_arguments(
        "lesson_03_checkpoints", num_epochs=1, metric_for_best_model=None, **options
    )
    trainer = make_trainer(model, examples["train"][:16], size, arguments)
    trainer.train()
    return {name: trainer.state.log_history[0][name] for name in ("loss", "grad_norm")}


# %%
updates = {}
for trainer_name, make_trainer in (("stock", stock_trainer), ("ours", our_trainer)):
    for size in (16, 4):
        updates[f"{trainer_name}, {16 // size} x {size} texts"] = first_update(make_trainer, size)
pd.DataFrame(updates).T.round(4)

# %% [markdown]
# In transformers 5.23 the loss of the stock Trainer is 4 times too large. If your two "stock" rows agree, your version
# has fixed it. The gradients are 4 times too large as well. Clipping, which is meant for rare large gradients, then
# cuts ordinary ones. (Clipping at 1 and AdamW, which nearly ignores a constant factor, hide part of the damage; other
# optimizers do not.) The course's Trainer weights each small batch by its number of labeled texts, so the loss and the
# gradient stay the same. A test checks this for batches of different sizes.
#
# ### Choosing on test
#
# Suppose you keep the epoch that is best *on test* and report its score. You then report the best of several draws, and
# new data will not give that score. Above, dev chose the epoch, and the test set was scored when all was done.
#
# ## Save, reload, resume
#
# A saved model is a folder with the weights, the configuration (with the label names) and the tokenizer. A reloaded
# model must give exactly the same predictions.
#
# `corpora.load` has normalized every text, but the texts of the model's future users will not go through it. So the
# rules become a part of the tokenizer before it is saved. Then a text with curly quotes or two spaces gets the same
# prediction as the text that the model would have seen in training. `training.scale_logits` does the same with the
# temperature: it divides the weights of the last layer by it, so every program gets the calibrated probabilities.

# %%
calibrated_model = copy.deepcopy(model)  # scaling twice would divide twice
training.scale_logits(calibrated_model, temperature)
expected = training.predict(calibrated_model, dataloaders["test"], precision=precision)
normalizing_tokenizer = corpora.normalizing_tokenizer(tokenizer)
for example in ("It isn't  bad", "It isn\u2019t bad"):
    print(tokenizer.tokenize(example), "->", normalizing_tokenizer.tokenize(example))
calibrated_model.save_pretrained("model")
normalizing_tokenizer.save_pretrained("model")
reloaded_tokenizer, reloaded = encoders.load_trained("model")
test_examples = batching.tokenize(texts["test"], reloaded_tokenizer)
test_dataloader = batching.make_dataloader(
    test_examples, reloaded_tokenizer.pad_token_id, batch_size=batch_size, shuffle=False
)
reloaded_logits = training.predict(reloaded.to(device), test_dataloader, precision=precision)
difference = (reloaded_logits - expected).abs().max()
print(f"largest difference of the logits: {difference:.1e}; labels: {', '.join(reloaded.config.id2label.values())}")

# %% [markdown]
# With `pooling="cls"`, every program that uses transformers can load this folder. With `pooling="mean"`, only
# `encoders.load_trained` can. transformers' own class would fill in random weights and only print a report.
#
# A run that was interrupted continues from its last checkpoint. The checkpoint also contains the optimizer, the
# schedule, the random state and the position in the data. Is that everything? To find out, train on 96 texts three
# times: without interruption, interrupted after update 6, and resumed from there.


# %%
class Interrupt(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if state.global_step == 6:
            raise KeyboardInterrupt


def short_run(folder, callbacks=None, resume=False):
    model = new_model()
    options = {"precision": precision, "save_strategy": "steps", "save_steps": 4, "seed": seed}
    arguments = training.make_training_arguments(
        f"lesson_03_checkpoints/{folder}", num_epochs=1, metric_for_best_model=None, **options
    )
    dataloader = batching.make_dataloader(examples["train"][:96], tokenizer.pad_token_id, batch_size=8, seed=seed)
    optimizer = training.make_optimizer(model, lr, head_lr=head_lr)
    trainer = training.Trainer(model, arguments, objective, dataloader, optimizer=optimizer, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=resume)
    return model


# %%
undisturbed = short_run("undisturbed")
try:
    short_run("interrupted", callbacks=[Interrupt()])
except KeyboardInterrupt:
    print("interrupted after update 6; the last checkpoint is of update 4")
resumed = short_run("interrupted", resume=True)
weights = zip(undisturbed.parameters(), resumed.parameters(), strict=True)
print(f"largest difference of the weights in the end: {max((a - b).abs().max().item() for a, b in weights):.1e}")
shutil.rmtree("lesson_03_checkpoints")

# %% [markdown]
# A difference of 0 means that the resumed run ended with exactly the same weights.
#
# ## Now yours
#
# For a file of your own, all of this is one line: `classifier.train("reviews.csv", text="review", label="stars")`. It
# reads the file, makes the splits that are missing, trains, chooses the epoch and the temperature on dev, and scores
# test once. The next cell does so with some rows of this lesson's corpus, and for one epoch only:

# %%
shutil.rmtree("mine", ignore_errors=True)  # from an earlier run
few = DatasetDict({split: part.select(range(min(200, len(part)))) for split, part in data.items()})
folder = classifier.train(few, "mine", encoder=encoder, context="none", num_epochs=1, seed=seed)

# %% [markdown]
# The folder has the model, its scores, the confusion matrix, the most confident mistakes and a *model card*, which says
# what the model can do and how far to trust it. The card begins so:

# %%
card = (folder / "README.md").read_text().partition("---\n\n")[2]
Markdown(card.partition("Each class:")[0].replace("# ", "### "))

# %% [markdown]
# On the command line it is `nbhelpers train reviews.csv --text review --label stars`, then `nbhelpers predict` or
# `nbhelpers serve` with the folder that it writes.
#
# ## Where this stands
#
# The tables show the same methods with four epochs: first on the written dialogues, where "the turn alone" is the
# fine-tuned encoder, then on MELD, where it is called "utterance only". Each number is the mean over seeds ± standard
# deviation. The encoder is the embedded one, all-MiniLM-L6-v2 with 22.7 million weights. Reproduce the tables with
# `nbhelpers results dialogues` and `nbhelpers results meld`; their settings are in `nbhelpers/course/tables`.

# %%
results.summary("dialogues", rows=["majority", "tf-idf", "the turn alone"])

# %% [markdown]
# In the table of MELD, the last two rows are results that others published.

# %%
published = ["roberta-large without context", "RoBERTa, single turns"]
results.summary("meld", rows=["majority", "tf-idf", "utterance only", *published])

# %% [markdown]
# ## Exercises
#
# Write your answer, and run the cell. A wrong answer gets a hint, which grows with each try.
#
# **1.** F1 is the score that decides everything here, so write it once by hand. For one class you get the number of
# hits (gold and predicted, or true positives), of false alarms (predicted, not gold, or false positives) and of misses
# (gold, not predicted, or false negatives). If there are no hits, return 0.


# %%
def f1(hits, false_alarms, misses):
    return None  # your code


check("03-f1", f1)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def f1(hits, false_alarms, misses):
#     if hits == 0:
#         return 0.0
#     precision, recall = hits / (hits + false_alarms), hits / (hits + misses)
#     return 2 * precision * recall / (precision + recall)
# ```
# </details>
#
# **2.** Write the cross-entropy of one text, in nats (with the natural logarithm). You get its logits, for instance
# `[2.0, 0.0, 1.0]`, and the position of the right class. Logits can be as large as 1,000.


# %%
def cross_entropy(logits, label):
    return None  # your code


check("03-cross-entropy", cross_entropy)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def cross_entropy(logits, label):
#     logits = [x - max(logits) for x in logits]
#     return math.log(sum(math.exp(x) for x in logits)) - logits[label]
# ```
# </details>
#
# ## Quiz
#
# Three questions on this lesson. Each choice has an explanation.

# %%
quiz("03-choose")
quiz("03-interval")
quiz("03-temperature")

# %% [markdown]
# ## Recap
#
# - Start with simple baselines: the most frequent class and a bag of words take seconds and show what the encoder adds.
# - The training loop fits on a page. The Trainer gives the same curve and adds checkpoints.
# - A score needs an interval, a comparison needs a paired test, and a probability needs a look at its calibration.
# - Choose on dev. Score the test split once, when all choices are made.
#
# The next lessons try to beat this baseline, first [4. LoRA](04_lora.ipynb). The last cell gives the number that
# `nbhelpers run` shows for this lesson in its table.

# %%
headline("test weighted F1", metrics.scores(gold["test"], predictions["fine-tuned"]["test"], len(names))["weighted_f1"])
