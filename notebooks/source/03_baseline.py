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
# "Excuse me. This is the quiet carriage." In the dialogues of this course the speaker of this turn is angry, but none
# of its words is. How many such turns does a model get right, and compared with what? A model that always says
# "neutral" is already right for more than four turns in ten. So a score by itself tells you little. You need a
# *baseline*: the score that every later idea must beat. A weak baseline makes every later idea look good, so it
# deserves care.
#
# After this lesson you can
#
# - fine-tune an encoder with a loop that you have read, and get the same curve from transformers' Trainer,
# - report scores with intervals, compare two models on the same rows, and read a calibration curve,
# - save a model, reload it with identical predictions, and resume a run that was interrupted.
#
# You should know scikit-learn, and what a token and padding are ([lesson 2](02_eda.ipynb)).
#
# <!-- facts -->
# Measured: default profile 1.9 min, 2.7 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | Two baselines without a neural network | 2 |
# | From a text to logits | 4 |
# | Step 3: a frozen encoder | 3 |
# | Step 4: fine-tuning | 5 |
# | What the scores say, and how certain they are | 3 |
# | Does the model know when it is uncertain? | 2 |
# | Which tokens does a prediction rest on? | 2 |
# | What goes wrong | 2 |
# | Save, reload, resume | 1 |
# | Now yours | 1 |
# | Where this stands | 1 |
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
# The picture shows how a text becomes probabilities. This lesson explains the four blue steps.

# %%
from nbhelpers.course.lesson import LiveTraining, check, diagrams, explore, headline, load_splits, quiz, results

diagrams.path(["encoder", "pooling", "head", "softmax"])

# %%
import copy
import inspect
import math
import time
from types import SimpleNamespace

import pandas as pd
import torch
import transformers

from nbhelpers import attribution, baselines, batching, classifier, corpora, encoders, environment, metrics
from nbhelpers import objectives, plots, training

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
batch_size = 64  # @param {type: "integer"}
# @markdown Use only this many rows of each split, spread over it; 0 uses all.
num_rows = 0  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# ## Two baselines without a neural network
#
# The lesson builds four models in four steps, the simplest first. Each choice is made on the dev split. The test split
# is scored once, when all training is done.
#
# Load the corpus. Where test or dev is missing, as in a single file, `load_splits` holds out a fifth of train for it.
# `gold` contains the correct labels of each split.

# %%
# no formulas: Jupyter would show a text between two dollar signs as one
pd.set_option("display.max_colwidth", 120, "display.html.use_mathjax", False)
data = load_splits(corpus, num_rows, text=text, label=label, dialogue=dialogue, seed=seed)
names = data["train"].features["label"].names
texts = {split: part["text"][:] for split, part in data.items()}
gold = {split: part["label"][:] for split, part in data.items()}
{split: len(labels) for split, labels in gold.items()}

# %% [markdown]
# *Accuracy* is the share of texts that are predicted right. *F1* belongs to one class. It combines the *precision* p,
# the share of the texts predicted as this class that really have it, and the *recall* r, the share of its texts that
# are found: F1 = 2pr / (p + r). It is high only if both are high. *Macro F1* is the mean over the classes. *Weighted
# F1* is the mean in which each class counts by its number of texts; it is the main score of this course.
#
# Each model stores its predictions, and `score_table` scores them:

# %%
predictions = {}


def score_table(split):
    scores = {
        model_name: metrics.scores(gold[split], predicted[split], len(names))
        for model_name, predicted in predictions.items()
    }
    return (100 * pd.DataFrame(scores).T).round(1).set_axis(["accuracy (%)", "weighted F1 (%)", "macro F1 (%)"], axis=1)


# %% [markdown]
# ### Step 1: always the most frequent class

# %%
predictions["majority"] = {split: metrics.majority(gold["train"], len(gold[split])) for split in gold}
score_table("dev")

# %% [markdown]
# Where one class is frequent, the accuracy looks acceptable. Macro F1 shows that the model knows only one class. Any
# useful model must beat this line.
#
# ### Step 2: a bag of words
#
# TF-IDF counts words, pairs of words and pieces of words (which catch "nooo" and "can't!"), and gives less weight to
# those that occur in many texts. Logistic regression learns a weight for each of them. Here, rare classes count as much
# as frequent ones. `baselines.tf_idf` is a scikit-learn pipeline of these parts. `C=4` suits thousands of texts; for
# your own, choose it on dev.

# %%
bag_of_words = baselines.tf_idf(texts["train"], gold["train"], C=4)
predictions["TF-IDF"] = {split: bag_of_words.predict(texts[split]) for split in gold}
score_table("dev")

# %% [markdown]
# The second line is the score that a neural network must beat to be worth its cost.
#
# ## From a text to logits
#
# A bag of words does not know that "furious" and "angry" are similar, and beyond pairs of words it does not see their
# order. A pretrained encoder has read much text before yours, and it uses the order.
#
# ### The encoder: a vector for each token
#
# Load the encoder with a new head. The tokenizer cuts a sentence into tokens, and the encoder computes a *vector*, a
# list of numbers, for each of them.

# %%
environment.set_seed(seed)  # the head starts from random weights
tokenizer, model = encoders.load(encoder, names, pooling=pooling, attn_implementation="eager")
model.eval()
encoded = tokenizer("You did what?", return_tensors="pt")
tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])
with torch.no_grad():  # no training yet
    output = model.base_model(**encoded, output_attentions=True)
vectors = output.last_hidden_state[0]
print(tokens)
print(f"{vectors.shape[0]} tokens, {vectors.shape[1]} numbers for each; {len(output.attentions)} layers")

# %% [markdown]
# BERT, RoBERTa and their relatives are *transformers*: a stack of layers of the same form. At the bottom, the vector of
# a token depends only on the token and its position. Each layer changes the vectors in two steps. First, *attention*
# mixes the vectors, so that "what" can take up something of "you did". Then a small network changes each vector by
# itself.
#
# From each token's vector, attention computes three others: a *query* (what this token looks for), a *key* (what it
# offers) and a *value* (what it passes on). The dot product of a query and a key is large if they fit. A *softmax*
# turns these products into weights: it takes e to the power of each and divides by their sum, so they are positive and
# add up to 1. The new vector of a token is the weighted mean of all values. Here it is for three tokens with vectors of
# two numbers:

# %%
queries = torch.tensor([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])  # [tokens, numbers]
keys = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
values = torch.tensor([[10.0, 0.0], [0.0, 10.0], [5.0, 5.0]])
weights = (queries @ keys.T / math.sqrt(2)).softmax(
    -1
)  # [tokens, tokens]; divided by the root of its number of entries
new_vectors = weights @ values
columns = ["weight 1", "weight 2", "weight 3", "new vector: first number", "second number"]
pd.DataFrame(torch.cat([weights, new_vectors], 1), ["token 1", "token 2", "token 3"], columns).astype(float).round(2)

# %% [markdown]
# Each line has three weights that add up to 1 (up to rounding). The query of token 1 fits its own key best, so its new
# vector stays near its own value (10, 0). Token 2 takes most from token 3, whose key its query fits.
#
# A layer does this several times side by side, with other queries, keys and values, and adds the results to the old
# vectors. What they look for is learned. These are the weights of the first layer for the sentence above, averaged over
# the repetitions, in percent:

# %%
first_layer = output.attentions[0][0].mean(0)  # [tokens, tokens]
pd.DataFrame(100 * first_layer.numpy(), tokens, tokens).round().astype(int)

# %% [markdown]
# Read along a line: it says from which tokens the token on the left takes something. Such tables do not explain a
# prediction, which passes through many of them.
#
# ### Pooling, head and softmax: a probability for each class
#
# *Pooling* makes one vector of the token vectors; here it is their mean or the vector of the first token. The *head* is
# new and small: for each class it multiplies the numbers of this vector by weights and adds them up. The results are
# the *logits*, one for each class. The softmax, which you know from attention, turns them into probabilities:

# %%
with torch.no_grad():
    logits = model(**encoded).logits[0]
probabilities = logits.exp() / logits.exp().sum()  # the softmax
pd.DataFrame({"logit": logits, "probability (%)": 100 * probabilities}, names).astype(float).round(2)

# %% [markdown]
# The probabilities are all similar, because the head has random weights: the model only guesses.
#
# ### The loss: how wrong a prediction is
#
# Training needs one number to make smaller, the *loss*. For classes it is the *cross-entropy*: minus the natural
# logarithm of the probability that the model gives to the correct class. A probability of 1 costs nothing, 0.5 costs
# 0.69, and 0.01 costs 4.6. The loss of several texts is the mean.
#
# It is computed for a batch of texts, which a *DataLoader* makes. Ours puts texts of similar length together and pads
# each batch to its longest text. The output also says in which number format the model computes
# ([lesson 1](01_environment.ipynb)).

# %%
device = environment.best_device()
precision, reason = environment.best_precision(device)
examples = {split: batching.tokenize(texts[split], tokenizer, labels=gold[split]) for split in data}
options = {"batch_size": batch_size, "seed": seed}
dataloaders = {
    split: batching.make_dataloader(part, tokenizer.pad_token_id, shuffle=split == "train", **options)
    for split, part in examples.items()
}
print(f"{len(dataloaders['train'])} training batches; on {device.type} in {precision}: {reason}")

# %%
batch = next(iter(dataloaders["dev"]))
with torch.no_grad():
    logits = model(batch["input_ids"], batch["attention_mask"]).logits  # [batch, classes]
    of_label = logits.softmax(-1)[range(len(logits)), batch["labels"]]  # the probability of each correct class
    print(f"by hand {-of_label.log().mean():.6f}, by the helper {objectives.cross_entropy(model, batch):.6f}")

# %% [markdown]
# Both numbers agree.
#
# **Exercise.** This is the loss of a model that has learned nothing. Which loss do you expect, if it gives each class
# the same probability? Write it as a function of the number of classes, and compare it with the number above. In your
# projects, a first loss far from this value often means a mistake: the wrong number of classes, or a loss that is
# summed instead of averaged.


# %%
def first_loss(num_classes):
    return None  # your code


check("03-first-loss", first_loss)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def first_loss(num_classes):
#     return math.log(num_classes)
# ```
# </details>
#
# ## Step 3: a frozen encoder
#
# Now the encoder is *frozen*: its weights stay as they are, and only the head is trained. So a text always has the same
# vector, and it is enough to compute it once. `TextVectors` is the path of the picture up to the pooling.
# `training.predict` collects its results in the order of the texts.


# %%
class TextVectors(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids, attention_mask):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mean = encoders.mean_over_text(hidden, attention_mask)  # without padding
        # "logits" is the name under which `predict` looks for a result
        return SimpleNamespace(logits=mean if pooling == "mean" else hidden[:, 0])


# %%
text_vectors = TextVectors(model.base_model).to(device)
vectors = {split: training.predict(text_vectors, loader, precision=precision) for split, loader in dataloaders.items()}
{split: tuple(table.shape) for split, table in vectors.items()}

# %% [markdown]
# ### The training loop
#
# What remains is a table of numbers with labels. `LogisticRegression` could take it, but here it goes through the loop
# that trains neural networks:

# %%
diagrams.loop()

# %% [markdown]
# 1. **Batch.** The texts are used in small groups. When each was used once, an *epoch* is over.
# 2. **Predict, compute the loss.** In training, *dropout* sets a random tenth of the numbers to 0 each time. So the
#    head cannot rely on a single number, and memorizes less. For predictions dropout is off.
# 3. **Backward.** This *backward pass* computes the *gradient*: for each weight, how much the loss would change if the
#    weight grew a little.
# 4. **Optimizer.** It moves each weight a small step in the direction that makes the loss smaller; this is an *update*.
#    The *learning rate* sets the size of the step. A *scheduler* raises it from 0 in the first tenth of the updates
#    (*warm-up*) and then lowers it to 0. Our optimizer, *AdamW*, remembers the recent gradients, so that weights with
#    small and with large gradients get steps of similar size. It also pulls weights slightly toward 0 (*weight decay*).
# 5. **Gradients to zero.** Otherwise the next gradients would be added to them.
#
# First make what the loop needs:

# %%
environment.set_seed(seed)
num_head_epochs = 20
train_labels = torch.tensor(gold["train"])
head = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Linear(vectors["train"].shape[1], len(names)))
optimizer = torch.optim.AdamW(head.parameters(), lr=0.01)
scheduler = training.make_scheduler(optimizer, num_head_epochs * math.ceil(len(train_labels) / batch_size))


def head_predictions(split):
    head.eval()  # dropout off
    with torch.no_grad():
        return head(vectors[split]).argmax(-1).numpy()


# %% [markdown]
# This is the loop, with the numbers of the list. After each epoch it notes the mean loss and the score on dev. In the
# end the head has the weights of the last epoch.

# %%
head_history = []
for epoch in range(1, num_head_epochs + 1):
    total_loss = 0.0
    head.train()  # dropout on
    for rows in torch.randperm(len(train_labels)).split(batch_size):  # 1
        logits = head(vectors["train"][rows])  # 2
        loss = torch.nn.functional.cross_entropy(logits, train_labels[rows])
        loss.backward()  # 3
        optimizer.step()  # 4
        scheduler.step()
        optimizer.zero_grad()  # 5
        total_loss += len(rows) * loss.item()
    dev_f1 = metrics.scores(gold["dev"], head_predictions("dev"), len(names))["weighted_f1"]
    head_history.append({"epoch": epoch, "train_loss": total_loss / len(train_labels), "dev_weighted_f1": dev_f1})
plots.learning_curves(pd.DataFrame(head_history))

# %% [markdown]
# The loss should fall fast at first and then hardly at all: one linear layer on fixed vectors soon reaches its limit.
# The score on dev may jump by a point or two between epochs; do not read much into it.
#
# **Try it.** What will the curves do with `lr=1.0`, and with `lr=0.0001`? Predict it, change the number, and run the
# two cells above again; they take seconds. In the end put back 0.01, and run both once more.
#
# Compare the result with the bag of words:

# %%
predictions["frozen encoder"] = {split: head_predictions(split) for split in gold}
score_table("dev")

# %% [markdown]
# If the new line is below TF-IDF, that is no mistake: the encoder was trained for other purposes, and its vectors need
# not contain what your labels are about. Also, only TF-IDF gives rare classes more weight, which usually helps macro
# F1.
#
# ### A sentence of your own
#
# Type a sentence and press Enter. Try one with an unambiguous word, and then one in which only the situation tells:


# %%
def tf_idf_probabilities(text):
    known = pd.Series(bag_of_words.predict_proba([text])[0], bag_of_words.classes_)
    return known.reindex(range(len(names)), fill_value=0.0).to_list()  # a class that train lacks has 0


def frozen_probabilities(text):
    batch = tokenizer(text, truncation=True, return_tensors="pt").to(device)
    with torch.no_grad():
        vector = text_vectors(batch["input_ids"], batch["attention_mask"]).logits.float().cpu()
        return head.eval()(vector).softmax(-1)[0].tolist()


def two_models(text):
    rows = {"TF-IDF": tf_idf_probabilities(text), "frozen encoder": frozen_probabilities(text)}
    return plots.class_probabilities(pd.DataFrame(rows, names).T)


explore(two_models, text="Excuse me. This is the quiet carriage.")

# %% [markdown]
# ## Step 4: fine-tuning
#
# The picture shows three ways to train. The first is done, this step is the second, and [lesson 4](04_lora.ipynb) is
# about the third.

# %%
diagrams.fine_tuning()

# %% [markdown]
# Fine-tuning trains all weights. The loop is the same, but three things need more care:
#
# - The weights of the encoder already know a lot, and large steps would destroy it. So the encoder has a much lower
#   learning rate than the head. The warm-up protects the encoder while the head is still random.
# - A single unusual batch can have a huge gradient. So the *norm* of the gradient, its size over all weights, is
#   clipped to at most 1.
# - A model with millions of weights can learn the training texts by heart. It then *overfits*: the loss on train still
#   falls, but the score on new texts no longer rises. So dev is scored after each epoch, and the weights of the best
#   epoch are restored.
#
# `training.fit` contains the loop with these additions. Find the five steps in its main part:

# %%
from IPython.display import Code

source = inspect.getsource(training.fit)
Code(source[source.index("    for epoch in range") :], language="python")

# %% [markdown]
# It can also add up the gradients of several small batches before a step (*gradient accumulation*, if memory is short),
# and compute in a shorter number format (`autocast`; the `scaler` acts only in fp16). It takes two functions of yours.
# One scores the model after each epoch. The other gets a row with the loss of each update; here it draws them.


# %%
def new_model():
    environment.set_seed(seed)  # the same random head each time
    model = encoders.load(encoder, names, pooling=pooling)[1].to(device)
    encoders.use_fast_layers(model, device, precision)
    return model


def dev_score(model):
    predicted = training.predict(model, dataloaders["dev"], precision=precision).argmax(-1)
    return metrics.scores(gold["dev"], predicted, len(names))["weighted_f1"]


# %% [markdown]
# This cell takes the most time. Watch the loss fall; the green dots are the weighted F1 on dev:

# %%
model = new_model()
optimizer = training.make_optimizer(model, lr, head_lr=head_lr)
scheduler = training.make_scheduler(optimizer, num_epochs * len(dataloaders["train"]))
settings = {"num_epochs": num_epochs, "precision": precision, "evaluate": dev_score, "log": LiveTraining(num_epochs)}
environment.set_seed(seed)  # the same dropout as in the run with the Trainer below
history = training.fit(model, dataloaders["train"], objectives.cross_entropy, optimizer, scheduler, **settings)

# %% [markdown]
# The loss of a single batch jumps up and down. So look at its mean over each epoch, beside the score on dev:

# %%
curve = pd.DataFrame(history)
curve["epoch"] = curve["epoch"].map(math.ceil)
curve = curve.groupby("epoch")[["train_loss", "dev_score"]].mean().reset_index()
plots.learning_curves(curve.rename(columns={"dev_score": "dev_weighted_f1"}))

# %% [markdown]
# While both curves improve, more epochs may help. If only the loss on train does, the model overfits.
#
# The history also contains the learning rate of the encoder, with its warm-up:

# %%
updates = pd.DataFrame(history).dropna(subset=["train_loss"]).rename(columns={"lr": "encoder", "step": "update"})
plots.run_curves(updates.set_index("update")[["encoder"]], "learning rate")

# %% [markdown]
# ### The same sentence again
#
# Does the new model see the anger?


# %%
def predict_text(text):
    batch = tokenizer(text, truncation=True, return_tensors="pt").to(device)
    with torch.no_grad():
        return model(batch["input_ids"], batch["attention_mask"]).logits.softmax(-1)[0].tolist()


def three_models(text):
    rows = {"TF-IDF": tf_idf_probabilities(text), "frozen encoder": frozen_probabilities(text)}
    return plots.class_probabilities(pd.DataFrame({**rows, "fine-tuned": predict_text(text)}, names).T)


explore(three_models, text="Excuse me. This is the quiet carriage.")

# %% [markdown]
# If all three say neutral, that is no surprise: the anger is in the situation, and they see only this one turn.
# [Lesson 6](06_meld_context.ipynb) adds the turns around it.
#
# ### The same with the Trainer
#
# transformers' `Trainer` adds what long runs need: checkpoints, resuming, curves in TensorBoard. Ours is a small
# subclass that takes the same DataLoaders and the same *objective*, the function that computes the loss. If the loop
# and the Trainer do the same, their losses are equal at every update (on a GPU, up to rounding). A *callback*, which
# the Trainer calls after each update, stops it after 40:


# %%
class StopAfter40(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = state.global_step >= 40


transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show
transformers.utils.logging.set_verbosity_error()  # no notes about the time stamps of checkpoints
trainer_model = new_model()
optimizer = training.make_optimizer(trainer_model, lr, head_lr=head_lr)
options = {"precision": precision, "metric_for_best_model": None, "logging_steps": 1, "seed": seed}
arguments = training.make_training_arguments("lesson_03_checkpoints", num_epochs=num_epochs, **options)
to_train = (trainer_model, arguments, objectives.cross_entropy, dataloaders["train"])
trainer = training.Trainer(*to_train, optimizer=optimizer, callbacks=[StopAfter40()])

# %%
environment.set_seed(seed)
trainer.train()
trainer_losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
loop_losses = updates["train_loss"].to_list()[: len(trainer_losses)]
largest = max(abs(a - b) for a, b in zip(loop_losses, trainer_losses, strict=True))
print(f"{len(loop_losses)} updates, largest difference of the loss: {largest:.1e}")

# %% [markdown]
# A difference of 0 means that both train in the same way.
#
# ## What the scores say, and how certain they are
#
# All models are trained. Only now the test split is scored.

# %%
logits = {split: training.predict(model, dataloaders[split], precision=precision) for split in ("dev", "test")}
predictions["fine-tuned"] = {split: split_logits.argmax(-1).numpy() for split, split_logits in logits.items()}
score_table("test")

# %% [markdown]
# Compare the last line with TF-IDF. Is the difference real, or luck?
#
# ### An interval for each score
#
# A test set is a sample. With other texts from the same source, the scores would have been different. The *bootstrap*
# estimates how different: it draws as many rows as the test set has, with replacement, and scores this draw. After
# 2,000 draws, the middle 95 % of the scores are the *confidence interval*, the bar in the picture.

# %%
bars = {}
for model_name, predicted in predictions.items():
    low, high = metrics.bootstrap_ci(gold["test"], predicted["test"], num_classes=len(names), seed=seed)
    score = metrics.scores(gold["test"], predicted["test"], len(names))["weighted_f1"]
    bars[model_name] = {"score": 100 * score, "low": 100 * low, "high": 100 * high}
plots.score_bars(pd.DataFrame(bars).T, measure="weighted F1 (%)")

# %% [markdown]
# Do not use such bars to compare two models: both were tested on the same rows, and an easy row is easy for both.
#
# ### A paired test of two models
#
# A *paired* test uses this. In each draw it computes the *difference* of the two scores on the same rows. If nearly all
# draws show an advantage of the same model, the *p-value* is small: luck with the test rows is then a poor explanation.
# With 2,000 draws the p-value cannot be smaller than about 0.001.

# %%
comparisons = {}
for baseline in ("TF-IDF", "frozen encoder"):
    pair = predictions[baseline]["test"], predictions["fine-tuned"]["test"]
    result = metrics.paired_bootstrap(gold["test"], *pair, num_classes=len(names), seed=seed)
    points = {words: 100 * result[key] for words, key in (("gain", "difference"), ("from", "low"), ("to", "high"))}
    comparisons[f"fine-tuned against {baseline}"] = {**points, "p-value": result["p_value"]}
pd.DataFrame(comparisons).T.round(3)

# %% [markdown]
# The gain is in points of weighted F1, and "from" and "to" are the ends of its 95 % interval. If the interval contains
# 0, the test cannot tell the two models apart. The interval covers the choice of test rows, but not the choice of the
# seed. It also treats the turns of a dialogue as independent, which they are not, so it may be too narrow. With the
# argument `groups`, whole dialogues are drawn.
#
# ### Which classes are found
#
# One score hides the classes. *Support* is the number of test rows of a class. If a class has ten rows, one changed
# prediction moves its recall by ten points.

# %%
classes = metrics.per_class(gold["test"], predictions["fine-tuned"]["test"], names)
percent = (100 * classes[["precision", "recall", "f1"]]).round(1)
percent.set_axis(["precision (%)", "recall (%)", "F1 (%)"], axis=1).assign(support=classes["support"])

# %% [markdown]
# Compare recall and support: a class can be missed although it is not rare.
#
# A *confusion matrix* counts which class is predicted for which. For the errors we look at dev: if you study those on
# test, you begin to tune the model on test. Each line is a gold class; read along it to see how its texts were
# predicted.

# %%
confusion = metrics.confusion(gold["dev"], predictions["fine-tuned"]["dev"], names)
plots.confusion_matrix(confusion)

# %% [markdown]
# Choose a cell of the matrix to read up to five of its texts, those with the highest *confidence* (the probability of
# the predicted class) first:

# %%
dev_texts = pd.DataFrame({"text": texts["dev"], "gold": [names[i] for i in gold["dev"]]})
dev_texts["predicted"] = [names[i] for i in predictions["fine-tuned"]["dev"]]
dev_texts["confidence"] = logits["dev"].softmax(-1).amax(-1).numpy().round(2)
cells = dev_texts.value_counts(["gold", "predicted"])
start = min(cells.index, key=lambda cell: (cell[0] == cell[1], -cells[cell]))  # the most frequent error


def texts_of_cell(gold=start[0], predicted=start[1]):
    rows = dev_texts[(dev_texts["gold"] == gold) & (dev_texts["predicted"] == predicted)]
    return [f"gold {gold}, predicted {predicted}: {len(rows)}", rows.nlargest(5, "confidence")[["text", "confidence"]]]


explore(texts_of_cell, gold=names, predicted=names)

# %% [markdown]
# For each text, decide what kind of mistake it is: the label is doubtful, the text needs its context (lesson 6), it is
# irony, or the model misread it.
#
# **Exercise.** Which class has the lowest *precision* on dev, the smallest share of right ones among its predictions?
# The matrix shows shares of its lines, so compute it from the counts, `confusion`, whose columns are the predictions.

# %%
weakest_class = None  # your answer, in quotation marks
check("03-weakest", weakest_class, confusion)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# precision = pd.Series(confusion.to_numpy().diagonal() / confusion.sum(axis=0), index=names)
# weakest_class = precision.idxmin()
# ```
# </details>
#
# ## Does the model know when it is uncertain?
#
# If a model says "90 %", it should be right nine times out of ten. It is then *calibrated*. The *reliability diagram*
# groups the texts by their confidence; a bar shows which share of a group is right. The *expected calibration error*
# (ECE) is the average gap between this share and the mean confidence; larger groups count more.

# %%
probabilities = logits["test"].softmax(-1).numpy()
calibration_error = metrics.expected_calibration_error(gold["test"], probabilities, num_bins=10)
plots.reliability_diagram(metrics.reliability(gold["test"], probabilities, num_bins=10), calibration_error)

# %% [markdown]
# The hatched area is the gap. Where it lies on top of the bar, the model is too confident; this is usual after
# fine-tuning.
#
# One number often corrects most of it. *Temperature scaling* ([Guo et al. 2017](https://arxiv.org/abs/1706.04599))
# divides all logits by a *temperature*. Above 1 it makes the probabilities less extreme. The order of the classes stays
# the same, so no prediction changes. The temperature is the one with the lowest cross-entropy on dev. Test shows
# whether it helps:

# %%
temperature = metrics.fit_temperature(logits["dev"], gold["dev"])
calibrated = (logits["test"] / temperature).softmax(-1).numpy()
error_after = metrics.expected_calibration_error(gold["test"], calibrated, num_bins=10)
print(f"temperature {temperature:.2f}; calibration error {calibration_error:.1%} before, {error_after:.1%} after")
plots.reliability_diagram(metrics.reliability(gold["test"], calibrated, num_bins=10), error_after)

# %% [markdown]
# ### A threshold for one class
#
# An application may want something else than the most probable class: show a text to a person as soon as one class has,
# for instance, 30 %. A lower *threshold* finds more texts of the class and raises more false alarms. Where would you
# put it if a miss cost ten times as much as a false alarm?

# %%
dev_probabilities = (logits["dev"] / temperature).double().softmax(-1).numpy()
occurring = [name for name in names if name in set(dev_texts["gold"])]


def at_threshold(class_name=occurring[-1], threshold=0.5):
    of_class = dev_probabilities[:, names.index(class_name)]
    return plots.threshold_curve(dev_texts["gold"] == class_name, of_class, threshold, class_name)


explore(at_threshold, class_name=occurring, threshold=(0.0, 1.0, 0.05))

# %% [markdown]
# <details><summary>Solution</summary>
#
# With calibrated probabilities p, at 1/11, about 0.09. There, the expected cost of a miss, 10p, equals that of a false
# alarm, 1 - p.
# </details>
#
# ## Which tokens does a prediction rest on?
#
# *Integrated gradients* ([Sundararajan et al. 2017](https://arxiv.org/abs/1703.01365)) divide the logit of a class
# among the tokens. The method walks in small steps from the vectors of a padding text to those of your text. At each
# step the gradient says how each token's vector changes the logit, and these changes are added up. So the scores of the
# tokens nearly add up to the logit of the text minus the logit of the padding, as the last line of the output shows.
# The package captum does the computation.


# %%
def tokens_behind(text, class_name="the predicted class"):
    encoded = tokenizer(text, truncation=True, return_special_tokens_mask=True, return_tensors="pt").to(device)
    encoded.pop("token_type_ids", None)
    probabilities = predict_text(text)
    target = names.index(class_name) if class_name in names else probabilities.index(max(probabilities))
    try:
        result = attribution.integrated_gradients(model, **encoded, target=target, pad_token_id=tokenizer.pad_token_id)
    except ImportError as error:
        return str(error)  # says what to install
    tokens = [tokenizer.decode([i]).strip() for i in encoded["input_ids"][0]]
    picture = plots.token_attributions(tokens, result.scores[0].cpu(), names[target])
    ends = f"{result.text_logit.item():.2f} for the text - {result.baseline_logit.item():.2f} for the padding"
    together = f"{result.difference.item():.2f}; the tokens add up to {result.scores.sum().item():.2f}"
    return [f"{names[target]}: {probabilities[target]:.0%}", picture, f"logit: {ends} = {together}"]


# %%
explore(tokens_behind, text="Excuse me. This is the quiet carriage.", class_name=["the predicted class", *names])

# %% [markdown]
# [CLS] and [SEP] are also in the padding text, so they get 0. (Not always with RoBERTa, which counts positions in
# another way.)
#
# Such scores tell on which tokens this one prediction depends, compared with padding. A long bar at a name or a full
# stop is a warning: the model may have learned something accidental. The scores do not tell what the model would
# predict without a token, or what it does with other texts.
#
# **Try it.** Which probability will the class have without the token with the longest bar? Predict it, then delete the
# token in the text box. If little changes, other tokens may have taken over its role.
#
# ### The most confident mistakes
#
# The wrong predictions on dev, the most confident ones first:

# %%
mistakes = dev_texts[dev_texts["gold"] != dev_texts["predicted"]]
mistakes.nlargest(10, "confidence").reset_index(drop=True)

# %% [markdown]
# Copy one of them into the box above: which tokens misled the model? Or is the label as doubtful as the prediction?
#
# ## What goes wrong
#
# ### Padding everything to 128
#
# Many tutorials write `padding="max_length"`. The next cell predicts up to 300 dev texts twice: padded to 128, and in
# batches of similar length, each padded to its longest text. The probabilities are equal up to rounding, which is
# coarse in bf16. The time is not:


# %%
def timed_predictions(width):
    options = {"batch_size": 32, "shuffle": False, "pad_to_multiple_of": width}
    dataloader = batching.make_dataloader(examples["dev"][:300], tokenizer.pad_token_id, **options)
    start = time.perf_counter()
    logits = training.predict(model, dataloader, precision=precision)
    return time.perf_counter() - start, logits.softmax(-1)


timed_predictions(width=1)  # the first pass is slower because it also sets things up
fixed_seconds, fixed = timed_predictions(width=128)
dynamic_seconds, dynamic = timed_predictions(width=1)
times = fixed_seconds / dynamic_seconds
print(f"padded to 128 {fixed_seconds:.2f} s, to the longest text {dynamic_seconds:.2f} s: {times:.1f} times as long")
print(f"largest difference of the probabilities: {(fixed - dynamic).abs().max():.3f}")

# %% [markdown]
# ### Gradient accumulation that changes the loss
#
# Several small batches before an update should give the result of one large batch. With the Trainer of transformers
# 5.23 and a RoBERTa or BERT classifier they do not, because the loss is not divided by the number of batches
# ([issue 47688](https://github.com/huggingface/transformers/issues/47688)). The next cells use the same 16 texts,
# once as one batch of 16 and once as four batches of 4, without dropout. "Stock" is the Trainer of transformers,
# "ours" that of the course:


# %%
def first_update(trainer_name, size):
    environment.set_seed(seed)
    model = encoders.load(encoder, names, pooling="cls")[1].to(device)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    options = {"gradient_accumulation_steps": 16 // size, "per_device_train_batch_size": size, "logging_steps": 1}
    options = {"num_epochs": 1, "metric_for_best_model": None, **options}
    arguments = training.make_training_arguments("lesson_03_checkpoints", **options)
    loader = batching.make_dataloader(examples["train"][:16], tokenizer.pad_token_id, batch_size=size)
    if trainer_name == "stock":
        trainer = transformers.Trainer(model, arguments, loader.collate_fn, examples["train"][:16])
        trainer.remove_callback(transformers.PrinterCallback)
    else:
        optimizer = training.make_optimizer(model, lr)
        trainer = training.Trainer(model, arguments, objectives.cross_entropy, loader, optimizer=optimizer)
    trainer.train()
    return {"loss": trainer.state.log_history[0]["loss"], "gradient norm": trainer.state.log_history[0]["grad_norm"]}


# %%
rows = [(trainer_name, size) for trainer_name in ("stock", "ours") for size in (16, 4)]
pd.DataFrame({f"{name}, {16 // size} x {size} texts": first_update(name, size) for name, size in rows}).T.round(3)

# %% [markdown]
# Both lines of a pair should agree. In transformers 5.23 the loss and the gradient of the stock Trainer become 4 times
# too large. (If your two "stock" lines agree, your version has fixed it.) Clipping, which is meant for rare large
# gradients, then cuts ordinary ones. The course's Trainer weights each small batch by its number of labeled texts.
#
# ### Choosing on test
#
# If you keep the epoch that is best *on test*, you report the best of several draws. On average, new data gives a lower
# score.
#
# ## Save, reload, resume
#
# A saved model is a folder with the weights, the configuration (with the class names) and the tokenizer. `load_splits`
# has normalized every text, for instance its apostrophes. Texts of later users do not pass through it, so the tokenizer
# gets the same rules. And `training.scale_logits` divides the weights of the head by the temperature, so every program
# gets the calibrated probabilities.

# %%
calibrated_model = copy.deepcopy(model)  # scaling the same model twice would divide twice
training.scale_logits(calibrated_model, temperature)
normalizing_tokenizer = corpora.normalizing_tokenizer(tokenizer)
calibrated_model.save_pretrained("model")
normalizing_tokenizer.save_pretrained("model")
for example in ("It isn't  bad", "It isn\u2019t bad"):
    print(tokenizer.tokenize(example), "->", normalizing_tokenizer.tokenize(example))

# %% [markdown]
# On the right, the curly apostrophe of the second line has become the usual one, so both spellings get the same
# prediction. A reloaded model must predict exactly as before, so the next difference should be 0:

# %%
expected = training.predict(calibrated_model, dataloaders["dev"], precision=precision)
reloaded_tokenizer, reloaded = encoders.load_trained("model")
encoders.use_fast_layers(reloaded.to(device), device, precision)
dev_examples = batching.tokenize(texts["dev"], reloaded_tokenizer)
dev_loader = batching.make_dataloader(dev_examples, tokenizer.pad_token_id, batch_size=batch_size, shuffle=False)
difference = (training.predict(reloaded, dev_loader, precision=precision) - expected).abs().max()
print(f"largest difference of the logits: {difference:.1e}; labels: {', '.join(reloaded.config.id2label.values())}")

# %% [markdown]
# With `pooling="cls"`, every program that uses transformers can load this folder. With `pooling="mean"`, only
# `encoders.load_trained` can: transformers' own class would fill in random weights and only mention it in a report.
#
# A run that was interrupted continues from its last checkpoint. The checkpoint also contains the optimizer, the
# schedule, the random state and the position in the data. To check this, train on 32 texts three times: without
# interruption, interrupted after update 3, and resumed from the checkpoint of update 2.


# %%
class Interrupt(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if state.global_step == 3:
            raise KeyboardInterrupt


def short_run(folder, callbacks=None, resume=False):
    model = new_model()
    options = {"precision": precision, "save_strategy": "steps", "save_steps": 2, "seed": seed}
    options = {"num_epochs": 1, "metric_for_best_model": None, **options}
    arguments = training.make_training_arguments(f"lesson_03_checkpoints/{folder}", **options)
    dataloader = batching.make_dataloader(examples["train"][:32], tokenizer.pad_token_id, batch_size=8, seed=seed)
    to_train = (model, arguments, objectives.cross_entropy, dataloader)
    optimizer = training.make_optimizer(model, lr, head_lr=head_lr)
    training.Trainer(*to_train, optimizer=optimizer, callbacks=callbacks).train(resume_from_checkpoint=resume)
    return model


# %%
import shutil

undisturbed = short_run("undisturbed")
try:
    short_run("interrupted", callbacks=[Interrupt()])
except KeyboardInterrupt:
    print("interrupted after update 3; the last checkpoint is of update 2")
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
# test once. The next cell does so with up to 100 rows of each split and for one epoch, so its scores will be poor:

# %%
from datasets import DatasetDict

shutil.rmtree("mine", ignore_errors=True)  # from an earlier run
few = DatasetDict({split: part.select(range(min(100, len(part)))) for split, part in data.items()})
folder = classifier.train(few, "mine", encoder=encoder, context="none", num_epochs=1, seed=seed)

# %% [markdown]
# The folder also contains a *model card*, which says what the model can do and how far to trust it. It begins so:

# %%
from IPython.display import Markdown

card = (folder / "README.md").read_text().partition("---\n\n")[2]
Markdown(card.partition("Each class:")[0].replace("# ", "### "))

# %% [markdown]
# If the classifier is not certain to be better than TF-IDF, the card says so.
#
# On the command line it is `nbhelpers train reviews.csv --text review --label stars`, then `nbhelpers predict` or
# `nbhelpers serve` with the folder that it writes.
#
# ## Where this stands
#
# One run with one seed proves little. These tables show the same methods, the encoder with several seeds and four
# epochs, as mean ± standard deviation. "Seconds" is the time of a run on so many CPU threads. First the dialogues
# written for the course, where "the turn alone" is the fine-tuned encoder:

# %%
results.summary("dialogues", rows=["majority", "tf-idf", "the turn alone"])

# %% [markdown]
# Then MELD, where the same model is called "utterance only". The last two rows are published results of larger
# encoders.

# %%
published = ["roberta-large without context", "RoBERTa, single turns"]
results.summary("meld", rows=["majority", "tf-idf", "utterance only", *published])

# %% [markdown]
# On both corpora, the gain over TF-IDF is far larger than the spread between seeds. The encoder is all-MiniLM-L6-v2
# with 22.6 million weights. `nbhelpers results dialogues` and `nbhelpers results meld` reproduce the tables.
#
# ## Exercises
#
# Write your answer, and run the cell.
#
# **1.** Write F1, as defined above, by hand. For one class you get the numbers of hits (true positives), of false
# alarms (false positives) and of misses (false negatives). If there are no hits, return 0.


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
# **2.** Write the cross-entropy of one text, with the natural logarithm. You get its logits, for instance
# `[2.0, 0.0, 1.0]`, and the position of the right class. Logits can be as large as 1,000, for which
# `math.exp` fails: which number can you subtract from all logits without changing a probability?


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
# Each choice has an explanation.

# %%
quiz("03-choose")
quiz("03-interval")
quiz("03-temperature")

# %% [markdown]
# ## Recap
#
# - An encoder makes a vector for each token. Pooling, a head and a softmax make probabilities of them.
# - Simple baselines, such as a bag of words, show what the encoder adds.
# - The training loop has five steps. The Trainer gives the same curve and adds checkpoints.
# - A score needs an interval, a comparison needs a paired test, and probabilities need a look at their calibration.
# - Choose on dev. Score the test split once, when all choices are made.
#
# The next lessons try to beat this baseline, first [4. LoRA](04_lora.ipynb). The last cell gives the number that
# `nbhelpers run` shows for this lesson in its table.

# %%
headline("test weighted F1", metrics.scores(gold["test"], predictions["fine-tuned"]["test"], len(names))["weighted_f1"])
