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
# # 1. What your machine can do
#
# After this lesson you can
#
# - say which device and precision a fine-tuning run should use on your machine, and why,
# - make a run repeatable, and name what a seed does not control,
# - load an encoder from a package, from the Hub, from a mirror, or without a network.
#
# <!-- facts -->
# Measured: default profile 6 s, 0.6 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# An *encoder* is a neural network that turns a text into vectors. *Fine-tuning* trains it further on your labels,
# together with a small new layer, the *head*, which turns the vectors into a prediction.
#
# The next cell does nothing if the course is already installed. On Colab or Kaggle, clone this repository first. The
# cell then installs the helpers and keeps the installed versions of torch and numpy. You can run it twice.

# %% Setup
try:
    from nbhelpers import environment
except ImportError:  # on Colab or Kaggle, after:  !git clone <the address of this course> nbhelpers
    from runpy import run_path

    run_path("nbhelpers/notebooks/colab.py")

# %%
import os

import huggingface_hub
import pandas as pd
import torch

from nbhelpers import batching, encoders, environment
from nbhelpers.course.lesson import check, diagrams, headline, quiz, results

# %% [markdown]
# The next cell has the parameters of the lesson. You can change them in the cell, in Colab's form on the right, or on
# the command line (`nbhelpers run 01 -p seed=1`).

# %% [markdown]
# This is how a text becomes probabilities. The lesson is about the blue part:

# %%
diagrams.path("encoder")

# %% cellView="form" tags=["parameters"]
# @markdown Which encoder to load: "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown Number of rows and columns of the matrices that are multiplied to measure speed.
matrix_size = 1024  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# ## The machine
#
# A GPU helps with large encoders. The embedded encoder, which comes with the course, has 22.7 million parameters and
# trains on two CPU cores in minutes, so you do not need a GPU here. What matters for training on your machine:

# %%
facts = environment.describe()
pd.Series(facts, name="this machine").to_frame()

# %% [markdown]
# The rows *precision* and *because* matter most. *Precision* is the number format in which matrices are multiplied;
# *because* gives the reason for the choice. bf16 (16 bits per number) is fast on NVIDIA GPUs of the Ampere generation
# (2020) and later, and on CPUs with AMX or AVX512-BF16 instructions. A T4, the usual free GPU on Colab, is older. There
# fp16 is the fast format.
#
# The course chooses the precision by such features of the hardware. The next cell checks the choice with a measurement.
# Training consists mostly of matrix products. Their speed is given in TFLOP/s: 10¹² multiplications and additions per
# second.

# %%
device = environment.best_device()
dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
if device.type == "cuda":
    dtypes["fp16"] = torch.float16
speed = {name: environment.matmul_speed(dtype, device, size=matrix_size) for name, dtype in dtypes.items()}
pd.Series(speed, name="TFLOP/s").to_frame().round(3)

# %%
ratio = speed["bf16"] / speed["fp32"]
precision, reason = environment.best_precision(device)
print(f"bf16 products run {ratio:.1f} times as fast as fp32 here; the course will train in {precision} ({reason}).")

# %% [markdown]
# A ratio well above 1 means that bf16 saves time. CPUs without these instructions emulate bf16, which saves nothing, so
# there the course stays with fp32.
#
# ## What precision costs
#
# Fewer bits mean less exact numbers. fp32 keeps about seven decimal digits, fp16 three, bf16 two. The largest number in
# fp16 is 65,504, while bf16 has the same range as fp32:

# %%
dtypes_to_compare = {**dtypes, "fp16": torch.float16}
limits = {name: torch.finfo(dtype) for name, dtype in dtypes_to_compare.items()}
pd.DataFrame(
    {
        name: {"gap after 1": limit.eps, "largest": limit.max, "smallest normal": limit.tiny}
        for name, limit in limits.items()
    }
).T

# %% [markdown]
# The *gap after 1* is the distance from 1 to the next larger number: a weight near 1 cannot change by less. Near 0.1
# the gap is a sixteenth of that. With AdamW, the usual optimizer, a weight changes by about the learning rate in each
# step, and 0.00001 is a usual learning rate for large encoders. Take a thousand such steps down from 0.1:

# %%
for name, dtype in dtypes.items():
    weight = torch.tensor(0.1, dtype=dtype)
    for _ in range(1000):
        weight -= torch.tensor(1e-5, dtype=dtype)
    print(f"{name}: 0.1 - 1000 x 0.00001 = {weight.item():.4f}")

# %% [markdown]
# In bf16 nothing happened (0.1001 is the bf16 number nearest to 0.1). Each step is smaller than half the gap to the
# next number, so it is rounded away. A model that is kept *entirely* in bf16 hardly learns at such learning rates: only
# weights near zero change. The solution is **mixed precision**: the weights and their updates stay in fp32, and only
# the matrix products run in bf16. `torch.autocast` does that:

# %%
layer = torch.nn.Linear(4, 2).to(device)
with torch.autocast(device.type, torch.bfloat16):
    product = layer(torch.ones(1, 4, device=device))
print(f"weights {layer.weight.dtype}, product {product.dtype}")

# %% [markdown]
# fp16 has another problem: gradients below its smallest number become zero. **Loss scaling** solves it. It multiplies
# the loss by a large number before the backward pass, and divides the gradients by the same number afterwards. The
# course's training code does this when the precision is fp16.
#
# ## Seeds
#
# The weights of a new head, dropout, and the order of the data are random. A seed makes them repeatable:

# %%
environment.set_seed(seed)
first_draw = torch.rand(3)
environment.set_seed(seed)
second_draw = torch.rand(3)
print("same seed, same numbers:", torch.equal(first_draw, second_draw))

# %% [markdown]
# A seed does not control everything. A sum of floating-point numbers depends on the order of the additions, and that
# order depends on the number of threads, the library version and the hardware. This cell adds the same fp32 numbers one
# by one, first forward and then backward:

# %%
environment.set_seed(seed)
numbers = torch.randn(100_000).numpy()  # fp32
forward = numbers.cumsum()[-1]
backward = numbers[::-1].cumsum()[-1]
print(f"forward {forward:.6f}, backward {backward:.6f}, difference {abs(forward - backward):.1e}")

# %% [markdown]
# Training can amplify such a difference. With one seed, one machine, the same versions and the same number of threads,
# our CPU runs are identical bit for bit (a test checks this). On another machine, expect the same result only within
# the spread between seeds. How large is it? We fine-tuned this encoder on MELD, a research data set, with several
# seeds. The score is weighted F1, from 0 to 100; lesson 2 explains it.

# %%
runs = results.runs("meld", "utterance only")
f1 = pd.Series([100 * run["test"]["weighted_f1"] for run in runs])
print(
    f"{len(f1)} seeds: weighted F1 {f1.mean():.1f} on average, from {f1.min():.1f} to {f1.max():.1f}, "
    f"standard deviation {f1.std():.2f}"
)

# %% [markdown]
# One run is one draw from that range. A smaller difference between two runs can come from the seed alone. So where the
# course says that one method beats another, it compares five seeds with a hypothesis test.
#
# ## The encoder
#
# The embedded encoder is all-MiniLM-L6-v2, a small BERT that was trained for sentence similarity: to give similar
# vectors to sentences of similar meaning. All scores that we measured are from it. It comes in a Python package, so
# nothing is downloaded. Before loading, its weights are compared with a known SHA-256 digest. Only the safetensors
# format is accepted, because a pickle file can run code.

# %%
tokenizer, model = encoders.load(encoder, labels=("calm", "angry"))
num_millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
print(
    f"{type(model.base_model).__name__}, {num_millions:.1f} M parameters, "
    f"reads up to {tokenizer.model_max_length} tokens"
)

# %% [markdown]
# The file has 22.7 M parameters. Its pooler, a layer that this model does not use, is left out.
#
# A *tokenizer* splits a text into *tokens*: words or pieces of words. Two texts become a batch:

# %%
examples = batching.tokenize(["You did what?", "Fine."], tokenizer)
batch = batching.Collator(tokenizer.pad_token_id)(examples)
for token_ids in batch["input_ids"]:
    print(tokenizer.convert_ids_to_tokens(token_ids.tolist()))

# %% [markdown]
# Each text gets a special token before it and one after it, and the shorter text is padded to the length of the longer
# one. BERT writes these tokens `[CLS]`, `[SEP]` and `[PAD]`; RoBERTa writes `<s>`, `</s>` and `<pad>`. RoBERTa counts
# positions from 2, so it reads 512 tokens although its configuration says 514. The helper `encoders` handles such
# differences. Now let the model predict:

# %%
model.eval()
with torch.inference_mode():
    logits = model(**batch).logits
print(logits.softmax(-1))

# %% [markdown]
# Each row is one text and sums to 1. The two columns are nearly equal, because the head is new and untrained.
#
# ## The Hub, mirrors, and no network at all
#
# Any other name is looked up on the Hugging Face Hub. Three environment variables control this:
#
# | variable | effect |
# |---|---|
# | `HF_ENDPOINT=https://...` | use a mirror instead of huggingface.co |
# | `HF_HUB_OFFLINE=1` | use only what is in the cache, without any network request |
# | `HF_HOME=/big/disk` | keep the cache there |
#
# ### What goes wrong: setting them too late
#
# Many tutorials set `HF_ENDPOINT` in the middle of a notebook. By then the library has already read it:

# %%
before = os.environ.pop("HF_ENDPOINT", None)
os.environ["HF_ENDPOINT"] = "https://mirror.example"
address = huggingface_hub.constants.ENDPOINT
print("HF_ENDPOINT names the mirror, but the library uses", address)
del os.environ["HF_ENDPOINT"]
if before is not None:
    os.environ["HF_ENDPOINT"] = before

# %% [markdown]
# There is no error, and no effect. Set such variables before Python starts. Or restart the kernel and set them in the
# first cell, before all imports.
#
# When a model cannot be loaded, the helper says in one sentence what to do:

# %%
try:
    encoders.load("./my-model")
except encoders.EncoderError as error:
    print("EncoderError:", error)

# %% [markdown]
# ## Versions
#
# The course was tested with the versions in `constraints.txt`. If your results differ, compare these first.

# %%
pd.Series(environment.versions(), name="version").to_frame()

# %% [markdown]
# ## Exercises
#
# Write your answer in place of None, and run the cell. A wrong one gets a hint.
#
# **1.** For each parameter, training with AdamW keeps four fp32 numbers: the weight, its gradient, and two running
# means. How many megabytes (10⁶ bytes) do 22.7 million parameters need?

# %%
megabytes = None  # your answer
check("01-memory", megabytes)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# megabytes = 22.7e6 * 4 * 4 / 1e6
# ```
# </details>
#
# **2.** bf16 keeps 8 significant bits. From 1 to 2, the distance between neighboring numbers is therefore 1/128. From 2
# to 4 it is 1/64, from 0.5 to 1 it is 1/256, and so on. Write a function that returns this gap for any positive number.


# %%
def gap(x):
    return None  # your code


check("01-gap", gap)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def gap(x):
#     return 2 ** math.floor(math.log2(x)) / 128
# ```
# </details>
#
# **3.** A GPU has `free_gib` GiB of free memory. The model with its optimizer takes `model_gib`, and each text of a
# batch `gib_per_text`. What is the largest batch that fits? If not even the model fits, return 0.


# %%
def batch_size(free_gib, model_gib, gib_per_text):
    return None  # your code


check("01-batch-size", batch_size)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def batch_size(free_gib, model_gib, gib_per_text):
#     return max(0, int((free_gib - model_gib) / gib_per_text))
# ```
# </details>
#
# ## Quiz
#
# Three questions on this lesson. Each choice has an explanation.

# %%
quiz("01-bf16")
quiz("01-seed")
quiz("01-endpoint")

# %% [markdown]
# ## Recap
#
# - Matrix products run in bf16 (or in fp16 on older GPUs) and weights stay in fp32. The hardware decides the format.
# - A seed repeats a run on the same machine with the same versions. Across machines, compare averages over seeds.
# - Encoders come from a package, a folder, the Hub or a mirror. Set environment variables before the import.
#
# `nbhelpers doctor` shows the facts of this lesson on the command line. Next: [2. Look at the data](02_eda.ipynb). The
# last cell gives the number that `nbhelpers run` shows for this lesson in its table.

# %%
headline(f"{precision} products, TFLOP/s", speed.get(precision, speed["fp32"]))
