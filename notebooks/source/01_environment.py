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
# - say which device and precision a fine-tuning run should use here, and why,
# - make a run repeat itself, and name what a seed does not fix,
# - load an encoder without a download, from the Hub, from a mirror, or offline.
#
# <!-- facts -->
# Measured: default profile 6 s, 0.6 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# An *encoder* is a network that turns text into vectors. *Fine-tuning* goes on training it for your labels, together
# with a small new layer, the *head*. The lessons run from top to bottom on a laptop.
#
# The next cell does nothing where the course is installed. On Colab or Kaggle, clone this repository first; the cell
# then installs the helpers beside the torch and numpy that are already there; twice is harmless.

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
import os

import huggingface_hub
import pandas as pd
import torch

from nbhelpers import batching, encoders, environment
from nbhelpers.course import results
from nbhelpers.course.exercises import check
from nbhelpers.course.headline import headline

# %% [markdown]
# What follows can be changed: here, in Colab's form on the right, or from the command line
# (`nbhelpers run 01 -p seed=1`).

# %% cellView="form" tags=["parameters"]
# @markdown Which encoder to load: "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown Side length of the matrices whose products are timed.
matrix_size = 1024  # @param {type: "integer"}
# @markdown The number that random choices start from.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# ## The machine
#
# A GPU is worth having for large encoders. The embedded one, with 22.7 million parameters, trains on two CPU cores in
# minutes, so a missing GPU stops nobody here.

# %%
facts = environment.describe()
pd.Series(facts, name="this machine").to_frame()

# %% [markdown]
# The rows *precision* and *because* matter most: the number format of matrix products, and what decided it. bf16 is
# fast on NVIDIA GPUs of the Ampere generation (2020) and later, and on CPUs whose instructions include AMX or
# AVX512-BF16. A T4, the usual free Colab GPU, is older: there fp16 is the fast format.
#
# The course decides by such features; a measurement checks that they keep their promise. Training is mostly matrix
# products, and their speed is counted in TFLOP/s, 10¹² multiplications and additions a second:

# %%
device = environment.best_device()
formats = {"fp32": torch.float32, "bf16": torch.bfloat16}
if device.type == "cuda":
    formats["fp16"] = torch.float16
speed = {name: environment.matmul_speed(dtype, device, size=matrix_size) for name, dtype in formats.items()}
pd.Series(speed, name="TFLOP/s").to_frame().round(3)

# %%
ratio = speed["bf16"] / speed["fp32"]
chosen, reason = environment.best_precision(device)
print(f"bf16 products run {ratio:.1f} times as fast as fp32 here; the course will train in {chosen} ({reason}).")

# %% [markdown]
# The ratio says whether bf16 pays. On CPUs without these instructions bf16 is imitated and brings nothing; there the
# course stays with fp32.
#
# ## What precision costs
#
# fp32 keeps about seven decimal digits, fp16 three, bf16 two. fp16 ends at 65,504; bf16 reaches as far as fp32.

# %%
limits = {name: torch.finfo(dtype) for name, dtype in {**formats, "fp16": torch.float16}.items()}
pd.DataFrame(
    {name: {"gap after 1": x.eps, "largest": x.max, "smallest normal": x.tiny} for name, x in limits.items()}
).T

# %% [markdown]
# The gap after 1 is the least by which a weight near 1 can change; near 0.1 it is a sixteenth of that. At a learning
# rate of 0.00001, usual for large encoders, AdamW changes a weight by about 0.00001 per step. Take a thousand such
# steps, down from 0.1:

# %%
for name, dtype in formats.items():
    weight = torch.tensor(0.1, dtype=dtype)
    for _ in range(1000):
        weight -= torch.tensor(1e-5, dtype=dtype)
    print(f"{name}: 0.1 - 1000 x 0.00001 = {weight.item():.4f}")

# %% [markdown]
# In bf16 nothing happened (0.1001 is the bf16 number nearest to 0.1): each step is smaller than half the gap to the
# next number, and rounds away. A model kept *entirely* in bf16 hardly learns at such rates; only weights near zero
# move. The remedy is **mixed precision**: weights and their updates stay in fp32, and only the matrix products run in
# bf16. `torch.autocast` does that:

# %%
layer = torch.nn.Linear(4, 2).to(device)
with torch.autocast(device.type, torch.bfloat16):
    product = layer(torch.ones(1, 4, device=device))
print(f"weights {layer.weight.dtype}, product {product.dtype}")

# %% [markdown]
# fp16 has the opposite weakness: small gradients fall below its smallest number and become zero. **Loss scaling**
# multiplies the loss before the backward pass and divides the gradients after it. The course's training does what the
# precision asks for.
#
# ## Seeds
#
# A fresh classifier head, dropout, and the order of the data are random. A seed makes them repeatable:

# %%
environment.set_seed(seed)
first = torch.rand(3)
environment.set_seed(seed)
print("same seed, same numbers:", torch.equal(first, torch.rand(3)))

# %% [markdown]
# It does not fix everything. Floating-point sums depend on their order, and the order depends on the number of threads,
# the library version and the hardware. Here the same numbers are added one by one, forwards and backwards, in fp32:

# %%
environment.set_seed(seed)
numbers = torch.randn(100_000).numpy()
forwards, backwards = numbers.cumsum()[-1], numbers[::-1].cumsum()[-1]  # fp32, as the numbers are
print(f"forwards {forwards:.6f}, backwards {backwards:.6f}, difference {abs(forwards - backwards):.1e}")

# %% [markdown]
# Training can amplify such a difference. So: with one seed, one machine, the same versions and the same number of
# threads, our CPU runs are identical bit for bit (a test checks it). Elsewhere, expect the same result only within the
# spread of seeds. How wide is that? This encoder was fine-tuned on MELD, a research data set, with several seeds
# (weighted F1 is a score from 0 to 100; lesson 2 explains it):

# %%
runs = results.runs("meld", "utterance only")
f1 = pd.Series([100 * run["test"]["weighted_f1"] for run in runs])
print(
    f"{len(f1)} seeds: weighted F1 {f1.mean():.1f} on average, from {f1.min():.1f} to {f1.max():.1f}, "
    f"standard deviation {f1.std():.2f}"
)

# %% [markdown]
# One run is one draw from that range. Two runs that differ by less may differ by the seed alone. Where the course says
# that one method beats another, it has five seeds and a test.
#
# ## The encoder
#
# The embedded encoder comes as a Python package, so nothing is downloaded. Its weights are compared with a known
# SHA-256 digest before they are loaded, and only the safetensors format is accepted: unlike a pickle file, it cannot
# run code.

# %%
tokenizer, model = encoders.load(encoder, labels=("calm", "angry"))
size = sum(p.numel() for p in model.parameters()) / 1e6
print(f"{type(model.base_model).__name__}, {size:.1f} M parameters, reads up to {tokenizer.model_max_length} tokens")

# %%
examples = batching.tokenize(["You did what?", "Fine."], tokenizer)
batch = batching.Collator(tokenizer.pad_token_id)(examples)
for row in batch["input_ids"]:
    print(tokenizer.convert_ids_to_tokens(row.tolist()))

# %% [markdown]
# The embedded file holds 22.7 M parameters; its pooler, a layer that this model does not read, is left out. A *token*
# is a word or a piece of one. Each text gets a token in front and one behind, and the shorter one is padded to the
# longer one. A BERT says `[CLS]`, `[SEP]` and `[PAD]`; a RoBERTa says `<s>`, `</s>` and `<pad>`. RoBERTa counts
# positions from 2, which is why its configuration speaks of 514 positions and it reads 512 tokens all the same.
# `encoders.py` settles such differences.

# %%
model.eval()
with torch.inference_mode():
    print(model(**batch).logits.softmax(-1))

# %% [markdown]
# The rows sum to 1, and the two columns are nearly equal: the head is fresh and knows nothing yet.
#
# ## The Hub, mirrors, and no network at all
#
# Any other name is asked for at the Hugging Face Hub. Three environment variables decide how:
#
# | variable | effect |
# |---|---|
# | `HF_ENDPOINT=https://...` | asks a mirror instead of huggingface.co |
# | `HF_HUB_OFFLINE=1` | asks nobody, and uses what is in the cache |
# | `HF_HOME=/big/disk` | keeps the cache there |
#
# ### What goes wrong: setting them too late
#
# Many tutorials set `HF_ENDPOINT` in the middle of a notebook. By then the library has read it:

# %%
before = os.environ.pop("HF_ENDPOINT", None)
os.environ["HF_ENDPOINT"] = "https://mirror.example"
print("asked for the mirror, will use", huggingface_hub.constants.ENDPOINT)
del os.environ["HF_ENDPOINT"]
if before is not None:
    os.environ["HF_ENDPOINT"] = before

# %% [markdown]
# No error, no effect. Set such variables before Python starts; or restart the kernel and set them in the first cell,
# above all imports.
#
# When something cannot be loaded, you get one sentence that says what to do:

# %%
try:
    encoders.load("./my-model")
except encoders.EncoderError as error:
    print("EncoderError:", error)

# %% [markdown]
# ## Versions
#
# The course was tested with the versions in `constraints.txt`. If results differ, compare these first.

# %%
pd.Series(environment.versions(), name="version").to_frame()

# %% [markdown]
# ## Exercise
#
# For each parameter, training with AdamW keeps four fp32 numbers: weight, gradient, two running means. How many
# megabytes (10⁶ bytes) do 22.7 million parameters need?

# %%
megabytes = None  # your answer
check("memory", megabytes)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# megabytes = 22.7e6 * 4 * 4 / 1e6
# ```
# </details>
#
# ## Recap
#
# - Matrix products in bf16 (or fp16 on older GPUs), weights in fp32; which one, the hardware decides.
# - A seed repeats a run on the same machine with the same versions. Across machines, compare averages over seeds.
# - Encoders come from a package, a folder, the Hub or a mirror; variables must be set before the import.
#
# `nbhelpers doctor` shows this lesson's facts on the command line. Next: [2. Look at the data](02_eda.ipynb). The value
# this lesson is known by in the course's table:

# %%
headline(f"{chosen} products, TFLOP/s", speed.get(chosen, speed["fp32"]))
