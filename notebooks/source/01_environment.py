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
# "I got the job!" and "They hired me." have no word in common, yet everybody sees that they tell the same news. Can a
# small neural network on your laptop see it? In this lesson you ask one, with sentences of your own. First you find out
# where such a model runs, how exact its numbers are, and how much memory it needs.
#
# After this lesson you can
#
# - say which device and precision a fine-tuning run should use on your machine, and why,
# - estimate the memory of a run, and name what a seed does not control,
# - load an encoder without the internet, and follow a sentence through it.
#
# You should know: Python and pandas. You need no GPU.
#
# <!-- facts -->
# Measured: default profile 8 s, 0.7 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | The device | 1 |
# | Precision | 2 |
# | Memory | 1 |
# | Seeds | 1 |
# | A model reads your sentences | 2 |
# | What goes wrong | 1 |
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
# This is how a text becomes probabilities. Later, you follow a text through the blue steps:

# %%
from nbhelpers.course.lesson import check, diagrams, explore, headline, quiz, results

diagrams.path(["tokens", "encoder", "pooling"])

# %%
import os
import time
from unittest.mock import patch

import huggingface_hub
import pandas as pd
import torch

from nbhelpers import batching, encoders, environment

# %% [markdown]
# The next cell has the parameters of the lesson, which you can change:

# %% cellView="form" tags=["parameters"]
# @markdown Which encoder to load: "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown Number of rows and columns of the matrices that are multiplied to measure speed.
matrix_size = 1024  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# ## The device
#
# An *encoder* is a neural network that turns a text into *vectors*, which are lists of numbers. *Fine-tuning* trains it
# further on texts with labels. Most of that work is multiplying matrices, on a *device*: a GPU, or else the CPU. What
# does your machine have?

# %%
facts = environment.describe()
pd.Series(facts, name="this machine").to_frame()

# %% [markdown]
# For the small encoder of the course, the device "cpu" is enough. The CPU features AMX and AVX512-BF16 speed up bf16,
# which comes next.
#
# ## Precision
#
# The row *precision* names a number format. **fp32**, the usual one, stores a number in 32 bits. **bf16** and **fp16**
# use 16 bits. Such numbers take half the memory, and some hardware multiplies them much faster. Does yours?

# %%
device = environment.best_device()
dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
if device.type == "cuda":
    dtypes["fp16"] = torch.float16
# Multiplies two square matrices again and again, for half a second with each format
speed = {name: environment.matmul_speed(dtype, device, size=matrix_size) for name, dtype in dtypes.items()}
# TFLOP/s: 10¹² additions and multiplications per second
table = pd.Series(speed, name="TFLOP/s").to_frame()
table["times fp32"] = table["TFLOP/s"] / speed["fp32"]
table.round(3)

# %% [markdown]
# If bf16 is several times as fast as fp32, it saves time. If it is much slower, the hardware only imitates it.
# Measurements vary, so the course decides by the hardware:

# %%
rule = {
    "NVIDIA GPU since 2020 (Ampere)": "bf16",
    "older NVIDIA GPU, such as the T4 on Colab": "fp16",
    "CPU with AMX or AVX512-BF16": "bf16",
    "anything else": "fp32",
}
pd.Series(rule, name="precision").to_frame()

# %%
precision, reason = environment.best_precision(device)
print(f"On this machine the course trains in {precision}. The reason: {reason}.")

# %% [markdown]
# ### What fewer bits cost
#
# With fewer bits, the numbers that can be stored are further apart, and results are rounded to the nearest one.
# Training moves each *weight*, a number that the network learns, in many steps about as large as the *learning rate*,
# often 0.00001. In the picture, each vertical mark is a number that can be stored (fp32 has too many to draw). Does a
# step reach another mark?


# %%
def step_down(weight_exponent=-1, step_exponent=-5):
    return diagrams.number_line(10.0**weight_exponent, step=10.0**step_exponent)


explore(step_down, weight_exponent=(-6, 5), step_exponent=(-8, 0))

# %% [markdown]
# At first the weight is 10⁻¹ and the step 10⁻⁵, which is lost in bf16 and fp16. Make it larger until bf16 says
# "changed" (an arrow outside the picture is not drawn). Or make the weight smaller: numbers near a small weight are
# closer together. Then try the weight 10⁵: fp16 has smaller gaps than bf16, but no number above 65,504.
#
# **Exercise 1.** Predict, then use the sliders: what is the smallest exponent of a step that changes the weight 1
# (exponent 0) in bf16? Write your answer in place of None, and run the cell. A wrong answer gets a hint.

# %%
step_exponent = None  # your answer
check("01-step", step_exponent)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# step_exponent = -2
# ```
# </details>
#
# Now take a thousand steps. They should lead from 0.1 to 0.09:

# %%
for name, dtype in dtypes.items():
    weight = torch.tensor(0.1, dtype=dtype)
    # As training would do it: one small step after the other, each of them rounded
    for _ in range(1000):
        weight -= torch.tensor(1e-5, dtype=dtype)
    print(f"{name}: 0.1 - 1000 x 0.00001 = {weight.item():.4f}")

# %% [markdown]
# In bf16, all thousand steps are lost (0.1001 is the bf16 number nearest to 0.1). A model kept *entirely* in bf16 loses
# most steps of this size. The solution is **mixed precision**: weights and steps stay in fp32, and matrix products run
# in 16 bits, here in bf16:

# %%
layer = torch.nn.Linear(4, 2).to(device)
# Inside this block, torch converts the weights for each matrix product, and only for that
with torch.autocast(device.type, torch.bfloat16):
    product = layer(torch.ones(1, 4, device=device))
print(f"weights: {layer.weight.dtype}, product: {product.dtype}")

# %% [markdown]
# ## Memory
#
# Two things fill the memory in training. The first is the *parameters*, another word for weights. With AdamW, the usual
# method, each takes four numbers: the weight; its *gradient*, which says how the error, called *loss*, changes with the
# weight; and moving averages of the gradient and its square. How many parameters does our encoder have?

# %%
environment.set_seed(seed)
# "embedded" is all-MiniLM-L6-v2, which comes in a Python package, so nothing is downloaded
tokenizer, model = encoders.load(encoder, labels=("calm", "angry"))
num_millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
print(f"{type(model.base_model).__name__}: {num_millions:.1f} million parameters")

# %% [markdown]
# **Exercise 2.** Mixed precision keeps all four numbers in fp32, 4 bytes each. How many megabytes (10⁶ bytes) do 22.6
# million parameters need in training?

# %%
megabytes = None  # your answer
check("01-memory", megabytes)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# megabytes = 22.6e6 * 4 * 4 / 1e6
# ```
# </details>
#
# The second is the *batch*, the texts that are computed together. Their intermediate results are kept until the
# gradients are known. Here is an estimate of both, in GiB (2³⁰ bytes), by the number of *tokens* (words or pieces of
# words):

# %%
sizes = [256, 2048, 16384]
# For mixed precision and AdamW
memory = [environment.training_memory(model, max_tokens=size) for size in sizes]
pd.DataFrame({"tokens in a batch": sizes, "GiB for training": memory}).round(2)

# %% [markdown]
# With few tokens, nearly all goes to the parameters; with many, most goes to the batch. If a run stops with "out of
# memory", first make the batch smaller. If the parameters alone do not fit, lesson 4 helps.
#
# ## Seeds
#
# Training uses random numbers, for instance for the order of the texts. A *seed* makes them repeatable:

# %%
environment.set_seed(seed)
first_draw = torch.rand(3)
environment.set_seed(seed)
second_draw = torch.rand(3)
print("same seed, same numbers:", torch.equal(first_draw, second_draw))

# %% [markdown]
# A seed does not control rounding. Additions are rounded, so a sum depends on the order of its numbers, and that
# depends on hardware, threads and library versions. Here are the same numbers in two orders:

# %%
numbers = torch.randn(100_000).numpy()  # fp32
# cumsum adds one number after the other; its last entry is the sum of all
forward = numbers.cumsum()[-1]
backward = numbers[::-1].cumsum()[-1]
print(f"forward {forward:.6f}, backward {backward:.6f}, difference {abs(forward - backward):.1e}")

# %% [markdown]
# Training can amplify such a small difference. How far apart can two scores be? We trained the embedded encoder on
# MELD, a research data set, and changed only the seed. The score, weighted F1 (lesson 2), is at best 100.

# %%
# One run for each seed, with everything else the same
runs = results.runs("meld", "utterance only")
scores = pd.Series([100 * run["test"]["weighted_f1"] for run in runs])
statistics = scores.agg(["mean", "min", "max", "std"])
statistics.index = ["mean", "lowest", "highest", "standard deviation"]
statistics.to_frame(f"weighted F1 of {len(scores)} seeds").round(2)

# %% [markdown]
# A difference smaller than this range can come from the seed alone, so the course compares methods over several seeds.
# Treat another machine like another seed: on another CPU, the same seeds gave scores up to 0.7 away. With the same CPU,
# threads and versions, a seed repeats our runs exactly. These are your versions:

# %%
# The course was tested with those in constraints.txt
pd.Series(environment.versions(), name="version").to_frame()

# %% [markdown]
# ## A model reads your sentences
#
# Now send four sentences through the blue steps. First, the *tokenizer* splits them into **tokens**, and *padding*
# fills up the shorter ones:

# %%
texts = ["I got the job!", "They hired me.", "I lost the job!", "The soup is cold."]
make_batch = batching.Collator(tokenizer.pad_token_id)
batch = make_batch(batching.tokenize(texts, tokenizer))
# Start, end and filling: [CLS], [SEP] and [PAD] in BERT; <s>, </s> and <pad> in RoBERTa
for token_ids in batch["input_ids"]:
    print(tokenizer.convert_ids_to_tokens(token_ids.tolist()))

# %% [markdown]
# The **encoder** makes a vector for each token. It is a *transformer*: a stack of layers, and in each layer every token
# takes in information from all others of its text. That is called *attention*. **Pooling** takes the mean of these
# vectors, without padding, so each text becomes one vector:

# %%
model.eval()  # switches off dropout, a random disturbance that helps in training
with torch.inference_mode():  # without gradients
    token_vectors = model.base_model(**batch).last_hidden_state
text_vectors = encoders.mean_over_text(token_vectors, batch["attention_mask"])
print("encoder: texts x tokens x numbers =", tuple(token_vectors.shape))
print("pooling: texts x numbers =", tuple(text_vectors.shape))

# %% [markdown]
# The *cosine similarity* of two vectors is 1 if they point in the same direction, and 0 if they are at right angles.
# The embedded encoder was trained to give sentences of similar meaning a high similarity; roberta-base, for instance,
# was not. How similar is each sentence to the first?

# %%
similarities = torch.cosine_similarity(text_vectors, text_vectors[:1])
pd.Series(similarities.tolist(), texts, name="similarity").to_frame().round(2)

# %% [markdown]
# The embedded encoder finds "They hired me." much closer than the soup, without a common word. But "I lost the job!" is
# closer still: it shares the topic and most words. Labels can teach the encoder that you care about the feeling.
#
# Type your own sentences, and press Enter: two that mean the same in different words, then two with opposite feelings.


# %%
def similarity(first="My train never came.", second="The railway forgot me."):
    batch = make_batch(batching.tokenize([first, second], tokenizer))
    with torch.inference_mode():
        token_vectors = model.base_model(**batch).last_hidden_state
    a, b = encoders.mean_over_text(token_vectors, batch["attention_mask"])
    return f"similarity: {torch.cosine_similarity(a, b, dim=0).item():.2f}"


explore(similarity, first="My train never came.", second="The railway forgot me.")

# %% [markdown]
# Two steps are left. The **head** computes a number for each class, its *logit*. **Softmax** turns logits into
# probabilities. Is a sentence calm or angry?

# %%
# The model runs all steps up to the logits
with torch.inference_mode():
    logits = model(**batch).logits
probabilities = logits.softmax(-1)
pd.DataFrame(probabilities.numpy(), texts, model.config.id2label.values()).round(2)

# %% [markdown]
# Each row sums to 1 and means nothing yet: the weights of the head are random. Lesson 3 trains them. How fast is the
# model here?

# %%
start = time.perf_counter()
with torch.inference_mode():
    model(**make_batch(batching.tokenize(64 * texts, tokenizer)))
seconds = time.perf_counter() - start
print(f"{64 * len(texts) / seconds:,.0f} short sentences per second")

# %% [markdown]
# ## What goes wrong
#
# ### Setting HF_ENDPOINT too late
#
# Other encoders come from the Hugging Face Hub, or from a *mirror*, a server with the same files. Many tutorials set
# its address in the middle of a notebook:

# %%
# After this block, the variable is again what it was
with patch.dict(os.environ, HF_ENDPOINT="https://mirror.example"):
    print("we want:         ", os.environ["HF_ENDPOINT"])
    print("the library uses:", huggingface_hub.constants.ENDPOINT)

# %% [markdown]
# There is no error and no effect: the library read the variable when it was imported. Set it before Python starts. The
# same holds for `HF_HUB_OFFLINE=1` (download nothing) and `HF_HOME` (where downloads are kept).
#
# If a model cannot be loaded, the course says what to do:

# %%
try:
    encoders.load("./my-model")
except encoders.EncoderError as error:
    print("EncoderError:", error)

# %% [markdown]
# ## Exercises
#
# **Exercise 3.** In bf16, neighboring numbers from 1 to 2 are 1/128 apart, from 2 to 4 they are 1/64, from 0.5 to 1
# they are 1/256, and so on. Write a function that returns this gap for any positive number.


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
# **Exercise 4.** A GPU has `free_gib` GiB of free memory. The model takes `model_gib` in training, and each text of a
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

# %%
quiz("01-bf16")
quiz("01-seed")
quiz("01-endpoint")

# %% [markdown]
# ## Recap
#
# - The hardware decides the precision. Weights stay in fp32; matrix products may run in 16 bits.
# - In training, memory goes to the parameters (16 bytes each) and to the batch.
# - A seed repeats a run on the same CPU. Across machines, compare averages over seeds.
# - An encoder turns a text into a vector. Labels teach it what you want to know.
#
# Next: [2. Look at the data](02_eda.ipynb).

# %%
# The number that `nbhelpers run` shows in its table
headline(f"{precision} products, TFLOP/s", speed.get(precision, speed["fp32"]))
