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
# # 4. LoRA: train a few percent of the weights
#
# A company fine-tunes one encoder for twenty teams: one finds angry customers, one sorts complaints, one wants to know
# that "Great, another meeting." is not joy. RoBERTa-base has 125 million weights of four bytes, so twenty copies take
# 10 GB. Does each team have to change 125 million numbers? LoRA (low-rank adaptation) leaves the encoder as it is and
# learns a small change beside it, an *adapter* of a few megabytes.
#
# After this lesson you can
#
# - fine-tune an encoder by training a few percent of its weights or less, and say what that saves and what it does not,
# - save an adapter with its head, reload it with identical predictions, and merge it into a plain model,
# - avoid the mistakes that make LoRA look bad: wrong target modules, too low a learning rate, a lost head.
#
# You should know what an encoder, a head, a loss and a learning rate are; [lesson 3](03_baseline.ipynb) explains them.
#
# <!-- facts -->
# Measured: default profile 47 s, 2.3 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | What it costs to train a weight | 1 |
# | Rank: a large matrix from few numbers | 1 |
# | LoRA by hand | 2 |
# | How small is an adapter? | 1 |
# | Three ways to train | 2 |
# | How high a rank? | 2 |
# | Save, reload, merge | 1 |
# | What goes wrong | 3 |
# | Where this stands | 2 |
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
# The picture shows how a text becomes probabilities. This lesson is about the two blue steps: the encoder gets an
# adapter, and the new head is trained as before.

# %%
from nbhelpers.course.lesson import check, diagrams, explore, headline, load_splits, quiz, results

diagrams.path(["encoder", "head"])

# %%
import time
import warnings
from pathlib import Path

import pandas as pd
import peft
import torch
import transformers
from torch import nn

from nbhelpers import adapters, batching, corpora, encoders, environment, metrics, objectives, plots, training

transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show
warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # peft 0.21 uses a name that transformers will remove

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
# @markdown Layers that LoRA changes: "all" linear layers of the encoder, or names such as "query,value".
target_modules = "all"  # @param {type: "string"}
# @markdown Rank of the adapter, which decides its size; its scaling factor alpha is twice the rank.
r = 16  # @param {type: "integer"}
# @markdown Number of passes over the training data, the same for every method.
num_epochs = 3  # @param {type: "integer"}
# @markdown Peak learning rate of full fine-tuning.
lr = 1e-4  # @param {type: "number"}
# @markdown Peak learning rate of LoRA.
lora_lr = 1e-3  # @param {type: "number"}
# @markdown Peak learning rate of the new head, the same for every method.
head_lr = 1e-2  # @param {type: "number"}
# @markdown Use only this many rows of each split, spread over it; 0 uses all.
num_rows = 400  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# Load the corpus and make batches, as in lesson 3:

# %%
data = load_splits(corpus, num_rows, text=text, label=label, dialogue=dialogue, seed=seed)
names = data["train"].features["label"].names
gold = {split: part["label"][:] for split, part in data.items()}
{split: len(labels) for split, labels in gold.items()}

# %%
device = environment.best_device()
precision, _ = environment.best_precision(device)
tokenizer = corpora.normalizing_tokenizer(encoders.load(encoder, names)[0])  # cleans texts as the corpus was cleaned
dataloaders = {}
for split, part in data.items():
    examples = batching.tokenize(part["text"][:], tokenizer, labels=gold[split])
    options = {"batch_size": 16, "shuffle": split == "train", "seed": seed}
    dataloaders[split] = batching.make_dataloader(examples, tokenizer.pad_token_id, **options)

# %% [markdown]
# Each method starts from a newly loaded encoder with the same random head. A second function predicts a split:


# %%
def new_model(seed=seed):
    environment.set_seed(seed)
    model = encoders.load(encoder, names)[1].to(device)
    encoders.use_fast_layers(model, device, precision)
    return model


def predict(model, split):
    return training.predict(model, dataloaders[split], precision=precision).argmax(-1).numpy()


# %% [markdown]
# ## What it costs to train a weight
#
# A weight that stays as it is takes four bytes of memory. A weight that is trained takes sixteen, because training also
# keeps its *gradient* and two moving averages of AdamW, the optimizer of lesson 3. All of these together are called the
# *training state*. The next cell computes its size for this encoder:


# %%
def state_mb(counts):
    return (4 * counts["total"] + 12 * counts["trainable"]) / 1e6


untrained = new_model()
counts = adapters.num_parameters(untrained)
print(f"{counts['total'] / 1e6:.1f} million weights")
print(f"all trained: {state_mb(counts):.0f} MB, none trained: {4 * counts['total'] / 1e6:.0f} MB")

# %% [markdown]
# The difference is what a method can save that trains few weights. It is not all of the memory: the *activations*, the
# intermediate results from which the gradients are computed, come on top. They grow with the batch, and LoRA needs them
# as well.
#
# Does a new task need so much freedom? Pretraining has already found good features, and small changes may be enough.
# LoRA ([Hu et al. 2021](https://arxiv.org/abs/2106.09685)) therefore allows only changes of *low rank*. What is a rank?
#
# ## Rank: a large matrix from few numbers
#
# Take a column of six numbers and a row of six numbers, and multiply each number of the column by each number of the
# row. The result is a 6 x 6 table, the *product* of a 6 x 1 matrix and a 1 x 6 matrix:

# %%
column = torch.tensor([[1], [2], [0], [-1], [3], [1]])
row = torch.tensor([[2, 0, 1, -1, 3, 1]])
product = column @ row
print(product)

# %% [markdown]
# The table has 36 numbers, but only 12 were chosen. Compare its lines: each is the same row, multiplied by one number.
# Such a matrix has *rank 1*. The sum of two such tables is made of 24 numbers; it is also the product of a 6 x 2 and a
# 2 x 6 matrix. The *rank* of a matrix is the smallest number of pairs of a column and a row that it can be made of.
# torch can compute it:

# %%
rank_2 = torch.randn(6, 2) @ torch.randn(2, 6)
for matrix in (product.float(), rank_2, torch.randn(6, 6)):
    rank = int(torch.linalg.matrix_rank(matrix))
    print(f"rank {rank}: {matrix.numel()} numbers, made of {rank * 12}")

# %% [markdown]
# Look at the last line, a matrix of random numbers: its pairs contain more numbers than the matrix itself. Pairs save
# something only if the rank is low.
#
# **Exercise.** A layer of the course's encoder has a matrix of 384 x 384 numbers. At which rank do the pairs of a
# column and a row have as many numbers as the matrix?

# %%
rank = None  # your answer
check("04-break-even", rank)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# rank = 384 * 384 / (384 + 384)  # a pair has 384 + 384 numbers
# ```
# </details>
#
# ## LoRA by hand
#
# The layers of an encoder are built from *linear layers*. Such a layer multiplies its input *x* by a matrix *W* with
# `d_out` x `d_in` weights. LoRA freezes *W* and adds a matrix of low rank to it: the product of *B* (`d_out` x `r`) and
# *A* (`r` x `d_in`), times a fixed number. The output becomes *W x* + (alpha / r) *B A x*. Only *A* and *B* are
# trained. You choose the rank `r` in advance; `alpha` scales the change and is here twice the rank.

# %%
diagrams.low_rank()

# %% [markdown]
# The whole method fits in ten lines. *B* starts with zeros, so training starts from what the encoder already knows:


# %%
class Lora(nn.Module):
    def __init__(self, linear, r, alpha):
        super().__init__()
        self.linear, self.scale = linear.requires_grad_(False), alpha / r
        self.A = nn.Parameter(torch.randn(r, linear.in_features) / r)
        self.B = nn.Parameter(torch.zeros(linear.out_features, r))

    def forward(self, x):
        return self.linear(x) + self.scale * (x @ self.A.T @ self.B.T)


# %% [markdown]
# Try it on a layer of 6 x 6 weights. Before training, both outputs must be equal:

# %%
layer = Lora(nn.Linear(6, 6), r=1, alpha=2)
x = torch.randn(3, 6)
print(f"change of the output before training: {(layer(x) - layer.linear(x)).abs().max():.1f}")
print(f"trained: {layer.A.numel() + layer.B.numel()} numbers, frozen: {layer.linear.weight.numel()}")

# %% [markdown]
# The library peft adds dropout, saving and loading. The course calls it through `adapters.lora`, which knows the names
# of the layers in BERT, RoBERTa and their relatives. This is what becomes of one linear layer:

# %%
target_layers = target_modules if target_modules == "all" else target_modules.split(",")
lora_options = {"r": r, "alpha": 2 * r, "target_modules": target_layers}
lora_model = adapters.lora(new_model(), **lora_options).eval()
peft_layer = next(module for module in lora_model.modules() if isinstance(module, peft.tuners.lora.Linear))
peft_layer

# %% [markdown]
# `base_layer` is *W*, and `lora_A` and `lora_B` are the two thin matrices. (The empty entries are for variants of
# LoRA.) Does peft compute the same as our class? Give *B* random numbers, as if it were trained, put the same *A* and
# *B* into our class, and compare:

# %%
nn.init.normal_(peft_layer.lora_B["default"].weight, std=0.02)
by_hand = Lora(peft_layer.base_layer, r, 2 * r).to(device)
by_hand.A.data, by_hand.B.data = peft_layer.lora_A["default"].weight.data, peft_layer.lora_B["default"].weight.data
x = torch.randn(8, peft_layer.in_features, device=device)
with torch.no_grad():
    print(f"by hand and by peft, largest difference: {(by_hand(x) - peft_layer(x)).abs().max():.0e}")
    print(f"with and without the adapter: {(peft_layer(x) - peft_layer.base_layer(x)).abs().max():.2f}")

# %% [markdown]
# The first difference should be zero or nearly zero, the second clearly larger.
#
# **Exercise.** How many weights does LoRA of rank `r` add to some linear layers? Each layer is a pair `(d_in, d_out)`.


# %%
def lora_weights(layers, r):
    return None  # your code


check("04-lora", lora_weights)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def lora_weights(layers, r):
#     return sum(r * d_in + d_out * r for d_in, d_out in layers)  # A and B; W is frozen
# ```
# </details>
#
# ## How small is an adapter?
#
# The rank and the choice of layers decide it. The authors changed two linear layers in each layer of the encoder: those
# that compute the *queries* and the *values* of attention ([lesson 3](03_baseline.ipynb)). Today one often changes all
# linear layers. The next cell collects the sizes of both choices:

# %%
shapes = {}
for choice, target in {"queries and values": None, "all linear layers": "all"}.items():
    chosen = adapters.matching(untrained, adapters.pattern(untrained, target, adapters.QUERY_VALUE))
    linears = map(untrained.get_submodule, chosen)
    shapes[choice] = [(linear.in_features, linear.out_features) for linear in linears]
heads = map(untrained.get_submodule, adapters.heads(untrained))
head, full = sum(w.numel() for part in heads for w in part.parameters()), counts["total"]
print({choice: f"{len(layers)} layers" for choice, layers in shapes.items()})

# %% [markdown]
# An adapter is saved with its head. The rest is arithmetic, with four bytes for each number:


# %%
def costs(trained, total):
    return {
        "trained weights": f"{trained:,}",
        "share of all weights": f"{100 * trained / total:.2f} %",
        "one saved copy (MB)": f"{4 * trained / 1e6:,.1f}",
        "gradients and moving averages (MB)": f"{12 * trained / 1e6:,.1f}",
    }


def sizes(rank=8, layers="queries and values", tasks=10):
    adapter = head + sum(rank * (d_in + d_out) for d_in, d_out in shapes[layers])
    table = pd.DataFrame({"full fine-tuning": costs(full, full), "LoRA": costs(adapter, full - head + adapter)})
    disk = {"full copies": 4e-6 * tasks * full, "the encoder once, adapters": 4e-6 * (full - head + tasks * adapter)}
    return [table, diagrams.bars(disk, f"Disk space for {tasks} tasks")]


# %% [markdown]
# Move one slider at a time, and guess first. What happens if you double the rank? With one task, does LoRA save any
# disk space? At which rank would "all linear layers" train a tenth of all weights?

# %%
explore(sizes, rank=(1, 64), layers=list(shapes), tasks=(1, 50))

# %% [markdown]
# The adapter grows in proportion to the rank; in the course's encoder, a tenth is reached at a rank of about 60. The
# gain on disk comes with the second task, because the encoder is stored once.
#
# ## Three ways to train
#
# Does so small a change learn as much? We compare three methods:

# %%
diagrams.fine_tuning()

# %% [markdown]
# All three have the same number of epochs and the same learning rate for the head. LoRA has a higher learning rate than
# full fine-tuning; the reason is shown below.


# %%
def train(model, lr, num_epochs=num_epochs):
    optimizer = training.make_optimizer(model, lr, head_lr=head_lr)
    scheduler = training.make_scheduler(optimizer, num_epochs * len(dataloaders["train"]))
    settings = {"num_epochs": num_epochs, "precision": precision}
    environment.set_seed(seed)
    training.fit(model, dataloaders["train"], objectives.cross_entropy, optimizer, scheduler, **settings)
    return model


def weighted_f1(model, split):
    return 100 * metrics.scores(gold[split], predict(model, split), len(names))["weighted_f1"]


# %% [markdown]
# The next function trains one method, saves it, and notes what it cost:


# %%
def folder_mb(folder):
    return sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6


models, rows = {}, {}  # by the name of the method


def train_and_measure(name, model, lr):
    start = time.perf_counter()
    models[name] = train(model, lr)
    row = {"seconds": f"{time.perf_counter() - start:.0f}"}
    model.save_pretrained(f"saved/{name}")
    counts = adapters.num_parameters(model)
    row |= {"trained weights": f"{counts['trainable']:,}", "training state (MB)": f"{state_mb(counts):.0f}"}
    row |= {"saved (MB)": f"{folder_mb(f'saved/{name}'):.2f}"}
    rows[name] = row | {"weighted F1 on dev (%)": f"{weighted_f1(model, 'dev'):.1f}"}


# %% [markdown]
# Three trainings follow. Which one will be the fastest?

# %%
frozen_model = new_model()
training.freeze_encoder(frozen_model)
train_and_measure("frozen encoder", frozen_model, lr)
train_and_measure("full fine-tuning", new_model(), lr)
train_and_measure("LoRA", adapters.lora(new_model(), **lora_options), lora_lr)
pd.DataFrame(rows).T

# %% [markdown]
# *Saved* is where LoRA gains most. (The frozen encoder was saved as a whole; its head alone would do.) *Seconds* are
# often a surprise: LoRA may take as long as full fine-tuning, or longer. It leaves out the gradients of the frozen
# weights, but it still computes every layer forward and backward, and adds two small products to each layer that it
# changes.
#
# **Exercise.** What percentage of the model's weights, adapter included, did LoRA train? Give at least three digits.
# `adapters.num_parameters(models["LoRA"])` counts them.

# %%
percent = None  # your answer
check("04-percent", percent, adapters.num_parameters(models["LoRA"]))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# counts = adapters.num_parameters(models["LoRA"])
# percent = 100 * counts["trainable"] / counts["total"]
# ```
# </details>
#
# All three are trained, so now test is scored, with the 95 % confidence intervals of lesson 3:


# %%
def scores_with_intervals(models, split):
    scores = {}
    for name, model in models.items():
        predicted = predict(model, split)
        f1 = metrics.scores(gold[split], predicted, len(names))["weighted_f1"]
        low, high = metrics.bootstrap_ci(gold[split], predicted, num_classes=len(names), seed=seed)
        scores[name] = {"score": 100 * f1, "low": 100 * low, "high": 100 * high}
    return pd.DataFrame(scores).T


test_scores = scores_with_intervals(models, "test")
plots.score_bars(test_scores, measure="weighted F1 on test (%)")

# %% [markdown]
# Each bar shows how uncertain one score is. A comparison of two methods needs a paired test, as in lesson 3, and more
# than one seed. The end of the lesson has both, on a larger corpus.
#
# ### A sentence of your own
#
# Type a sentence and press Enter. Try one that is easy, and one that means the opposite of what it says:


# %%
def answer(text):
    dataloader = batching.make_dataloader(batching.tokenize([text], tokenizer), tokenizer.pad_token_id, shuffle=False)
    probabilities = [training.predict(model, dataloader).softmax(-1)[0].tolist() for model in models.values()]
    return plots.class_probabilities(pd.DataFrame(probabilities, list(models), names))


explore(answer, text="Great, another meeting.")

# %% [markdown]
# Does any of the three notice the opposite meaning? One sentence is an example; it cannot show which model is better.
#
# ## How high a rank?
#
# Full fine-tuning was free to change every number. How did it use that freedom? The next cell takes the last linear
# layer of the encoder and subtracts the matrix before training from the one after it. Then it asks how much of this
# change the best 1, 4, 16 and 64 pairs of a column and a row contain (measured by the sum of the squares). For
# comparison it asks the same of random numbers:


# %%
def share_of_best(matrix, counts=(1, 4, 16, 64)):
    squares = torch.linalg.svdvals(matrix) ** 2  # one number for each pair, the largest first
    return {count: f"{100 * squares[:count].sum() / squares.sum():.0f} %" for count in counts}


name = adapters.matching(untrained, adapters.pattern(untrained, "all", ()))[-1]
before, after = (model.get_submodule(name).weight.detach() for model in (untrained, models["full fine-tuning"]))
change = after - before
print(f"{name}: changed by {100 * change.norm() / before.norm():.1f} %; its rank is at most {min(change.shape)}")
shares = {"change by training": share_of_best(change), "random numbers": share_of_best(torch.randn_like(change))}
pd.DataFrame(shares).rename_axis("pairs")

# %% [markdown]
# If the first column is far above the second, training changed the matrix mostly along a few pairs, as LoRA assumes.
# This is only one layer, close to a head with few classes, after a short training. Aghajanyan et al.
# ([2020](https://arxiv.org/abs/2012.13255)) have broader evidence: a change with few degrees of freedom reached most of
# the score of full fine-tuning.
#
# Then how low may the rank be? The next cell scores LoRA of rank 1 on dev, beside that from above. How many points do
# you expect it to lose?

# %%
ranks = [1]  # add 4 or 64, for example; each takes as long as LoRA took above
by_rank = {}
for rank in ranks:
    model = adapters.lora(new_model(), r=rank, alpha=2 * rank, target_modules=target_layers)
    by_rank[f"rank {rank}"] = train(model, lora_lr)
by_rank[f"rank {r}"] = models["LoRA"]
plots.score_bars(scores_with_intervals(by_rank, "dev"), measure="weighted F1 on dev (%)")

# %% [markdown]
# Bars as wide as these hide small differences between ranks. The authors tried five ranks from 1 to 64 on a much larger
# model, GPT-3, with the task MultiNLI. All accuracies were between 91.3 and 91.6 %, while repeated runs differed by
# about 0.1 (table 6 of their paper, queries and values). So start with 8 or 16, and spend your time on the learning
# rate.
#
# ## Save, reload, merge
#
# The folder of an adapter contains the weights of the adapter and of the head, but not of the encoder:

# %%
{file.name: f"{file.stat().st_size / 1e3:,.1f} kB" for file in sorted(Path("saved/LoRA").iterdir())}

# %% [markdown]
# To use it, load the same encoder again and put the adapter on it. The new model gets another random head on purpose:
# if the saved head is really loaded, that makes no difference to the *logits*, the outputs before the softmax:


# %%
def logits_of(model):
    return training.predict(model, dataloaders["test"])  # in fp32


expected = logits_of(models["LoRA"])
reloaded = adapters.load_adapter(new_model(seed + 1), "saved/LoRA")
print(f"largest difference of the logits: {(logits_of(reloaded) - expected).abs().max():.1e}")

# %% [markdown]
# Zero or nearly zero means that adapter and head are both back. (`adapters.save` in place of `save_pretrained` also
# keeps the names of the classes.)
#
# An adapter takes extra time for each text, because its products are computed beside *W*. *Merging* adds (alpha / r) *B
# A* to *W* once. The result is a plain model: it needs no peft and is as fast as before. Merge in fp32, because bf16
# would round small changes away.

# %%
merged = adapters.merge(reloaded)
merged.save_pretrained("saved/merged")
tokenizer.save_pretrained("saved/merged")
plain_model = encoders.load_trained("saved/merged")[1].to(device)
print(f"largest difference of the logits: {(logits_of(plain_model) - expected).abs().max():.0e}")
print(f"a {type(plain_model).__name__} of {folder_mb('saved/merged'):.0f} MB")

# %% [markdown]
# The small difference comes from rounding, because the numbers are added in another order. Keep the adapter while many
# tasks share one encoder. Merge a model that will be served alone or exported.
#
# ## What goes wrong
#
# ### A target module that does not exist
#
# Recipes for large language models name the layers `q_proj` and `v_proj`. BERT and RoBERTa have no layers of that name.
# What do peft and our helper say?


# %%
def error_message(function):
    try:
        function()
        return "no error"
    except ValueError as error:
        return str(error)


def peft_alone(*target_modules):
    return peft.get_peft_model(new_model(), peft.LoraConfig(target_modules=list(target_modules)))


existing = adapters.linear_layers(untrained)[0].split(".")[-1]
print("peft, q_proj and v_proj:", error_message(lambda: peft_alone("q_proj", "v_proj")))
print(f"peft, {existing} and v_proj:", error_message(lambda: peft_alone(existing, "v_proj")))
print("adapters.lora, v_proj:", error_message(lambda: adapters.lora(untrained, target_modules="v_proj")))

# %% [markdown]
# peft stops if no name exists. If one of two names exists, it says nothing and adapts half of what you asked for.
# Before you train, compare the number of trained weights with the one that you expect.
#
# ### The learning rate of full fine-tuning
#
# A common mistake is to add LoRA to a program and keep everything else. *B* starts at zero, and one step moves each
# number by about the learning rate, so with a low one the change stays tiny. The next cell trains the same LoRA with
# the learning rate of full fine-tuning; the head learns as before:

# %%
slow = train(adapters.lora(new_model(), **lora_options), lr)
dev_f1 = {name: row["weighted F1 on dev (%)"] for name, row in rows.items()}
print(f"LoRA at {lora_lr:g}: weighted F1 on dev {dev_f1['LoRA']}")
print(f"LoRA at {lr:g}: {weighted_f1(slow, 'dev'):.1f}")
print(f"frozen encoder: {dev_f1['frozen encoder']}")

# %% [markdown]
# How far is the second line above the third? Only that difference comes from the adapter; the rest comes from the head.
# The authors' [recipes](https://github.com/microsoft/LoRA/tree/main/examples/NLU) for RoBERTa use 2e-4 to 5e-4, which
# is 10 to 40 times what is usual for full fine-tuning of these models, and train for 10 to 80 epochs.
#
# ### The lost head
#
# A new head is random, so it must be trained and saved with the adapter. peft does neither unless it is told to.
# Suppose you notice that the head is frozen, and make it trainable by hand:

# %%
layers = adapters.pattern(untrained, target_layers, adapters.QUERY_VALUE)  # the same layers as above
careless = peft.get_peft_model(new_model(), peft.LoraConfig(r=r, lora_alpha=2 * r, target_modules=layers))
careless.get_base_model().classifier.requires_grad_(True)
train(careless, lora_lr, num_epochs=1)
careless.save_pretrained("saved/careless")
returned = peft.PeftModel.from_pretrained(new_model(seed + 1), "saved/careless")
for name, model in (("trained", careless), ("saved and reloaded", returned)):
    print(f"{name}: weighted F1 on dev {weighted_f1(model, 'dev'):.1f}")

# %% [markdown]
# There was no error and no warning, but the reloaded model has a new random head and can only guess. `adapters.lora`
# names the head in peft's `modules_to_save`, and `adapters.load_adapter` refuses such a folder:

# %%
print(error_message(lambda: adapters.load_adapter(new_model(), "saved/careless")))

# %% [markdown]
# If you use peft alone, pass `modules_to_save` yourself. (Its `task_type="SEQ_CLS"` saves modules named `classifier` or
# `score`, but not BERT's pooler.) Whatever you use: reload the model in a new process, and compare the logits.
#
# ### Few weights, so little memory and time?
#
# Does training 2 % of the weights take 2 % of the memory and time? This was measured on a fast GPU, with random weights
# in the shape of roberta-large (355 million) and LoRA of rank 16 on all layers:

# %%
columns = {"batch": "texts x tokens", "step_ms": "milliseconds per step", "gpu_gib": "GPU memory (GiB)"}
gpu = pd.DataFrame(results.read("gpu")).query("row.str.contains('large.*(?:turns|tokens|LoRA|checkpointing)$')")
gpu = gpu.assign(row=gpu["row"].str.removeprefix("roberta-large, "), batch=[f"{n} x {m}" for n, m in gpu["batch"]])
print("measured on", *gpu["device"].unique())
gpu.set_index("row")[list(columns)].rename(columns=columns)

# %% [markdown]
# Compare each row with that of LoRA below it. LoRA saved much memory with the small batch and little with the large
# one, where activations take most of it, LoRA's own among them. The last row is full fine-tuning with *gradient
# checkpointing*, which computes activations again instead of keeping them; it saved more. LoRA and checkpointing made a
# step slower: such small steps mostly wait for Python to start one operation after another, and both add operations.
# (Reproduce the table with `python tests/benchmarks/gpu.py`.)
#
# ## Where this stands
#
# The same methods on all of MELD, a corpus of dialogues from a television series, on a CPU, with four epochs and
# settings chosen on dev. Each score is the mean of five seeds ± their standard deviation:

# %%
methods = {"utterance only": "full fine-tuning", "frozen encoder": "frozen encoder", "LoRA": "LoRA"}
methods |= {"LoRA at the rate of full fine-tuning": "LoRA, learning rate too low", "IA3": "IA3"}
columns = {"trainable": "trained weights", "difference": "difference (95 % interval)", "GiB": "peak memory (GiB)"}
columns |= {"weighted F1": "weighted F1 (%)", "MB on disk": "saved (MB)"}
table = results.summary("meld", rows=list(methods), costs=True).set_index("row").rename(methods)
table[["weighted F1", "difference", "trainable", "GiB", "seconds", "MB on disk"]].rename(columns=columns)

# %% [markdown]
# The difference is that from full fine-tuning in points, with its confidence interval and p-value. The p-value is
# corrected for the number of comparisons, the interval is not. A difference was shown only where p is below 0.05: the
# frozen encoder is worse. LoRA lost little or nothing. With the low learning rate it looks worse, but that was not
# shown.
#
# Look at the memory: LoRA took more than full fine-tuning. In so small an encoder, the activations of the adapters are
# larger than the training state that LoRA saves. Its gain here is the disk space. It is the same with `embedded-base`,
# which has 109 million parameters, and three seeds:

# %%
larger = results.summary("base", rows=["utterance only", "LoRA"], costs=True).set_index("row").rename(methods)
larger[["weighted F1", "difference", "trainable", "GiB", "seconds", "MB on disk"]].rename(columns=columns)

# %% [markdown]
# (Reproduce the tables with `nbhelpers results meld` and `nbhelpers results base --seeds 3`.)
#
# For RoBERTa-base on five tasks of the benchmark GLUE, LoRA's authors ([repository](https://github.com/microsoft/LoRA))
# report differences from -1.1 to +0.5 points.
#
# <details><summary>Relatives of LoRA: IA3, prefix tuning, QLoRA</summary>
#
# **IA3** ([Liu et al. 2022](https://arxiv.org/abs/2205.05638)), `adapters.ia3(model)`, learns one factor for each key,
# value and feed-forward unit. In the table its learning rate is ten times that of LoRA.
#
# **Prefix tuning** ([Li and Liang 2021](https://arxiv.org/abs/2101.00190)), `adapters.prefix(model)`, learns keys and
# values that every layer sees before the text. For classifiers, peft 0.21 supports it only with a head on the first
# token, so load the encoder with `pooling="cls"`.
#
# **QLoRA** ([Dettmers et al. 2023](https://arxiv.org/abs/2305.14314)) stores the frozen linear layers in 4 bits and
# trains LoRA on top, so that models of billions of weights fit on one GPU. With the library bitsandbytes, pass
# `quantization_config=transformers.BitsAndBytesConfig(...)` to `encoders.load`, with the head in
# `llm_int8_skip_modules`; then call `peft.prepare_model_for_kbit_training`, and last `adapters.lora`. The embedded
# encoder shrank from 90 to 53 MB on a CPU; it was not tried on a GPU. For encoders of this size, plain LoRA is enough.
#
# </details>
#
# ## Exercises
#
# Three exercises are above. The last one: merge a row by hand. You get a row `w` of *W*, the same row `b` of *B*, the
# matrix `A` as a list of its `r` rows, and `alpha`. Return the row of *W* + (alpha / r) *B A* as a list.


# %%
def merged_row(w, b, A, alpha):
    return None  # your code


check("04-merge", merged_row)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def merged_row(w, b, A, alpha):
#     r = len(A)
#     change = [sum(b[k] * A[k][i] for k in range(r)) for i in range(len(w))]
#     return [w[i] + alpha / r * change[i] for i in range(len(w))]
# ```
# </details>
#
# Then change one number and predict what happens: set `head_lr` to 1e-3 and run the lesson again. Which of the three
# methods loses most?
#
# ## Quiz
#
# Three questions on this lesson. Each choice has an explanation.

# %%
quiz("04-memory")
quiz("04-head")
quiz("04-rate")

# %% [markdown]
# ## Recap
#
# - LoRA adds a matrix of low rank, (alpha / r) *B A*, to frozen ones.
# - It saves most of the disk space, and the gradients and moving averages of frozen weights. It often saves no time,
#   and its own activations need memory.
# - It needs its own, much higher learning rate. Try that first; the rank comes second.
# - Save the head with the adapter, reload it, and compare the logits. Merge in fp32 before you deploy.
#
# Next: [5. R-Drop](05_rdrop.ipynb), which trains with two passes that should agree. The last cell gives the number that
# `nbhelpers run` shows for this lesson in its table.

# %%
headline("test weighted F1 of LoRA", test_scores.loc["LoRA", "score"] / 100)
