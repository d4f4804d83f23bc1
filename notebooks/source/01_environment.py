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
# Minutes and memory: not measured yet.
# <!-- /facts -->
#
# The lessons run from top to bottom on a laptop. The next cell does nothing where the course is installed. On Colab or
# Kaggle it installs the helpers beside the torch and numpy that are already there; running it twice is harmless.

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
import huggingface_hub
import pandas as pd
import torch

from nbhelpers import batching, encoders, environment
from nbhelpers.course.headline import headline
from nbhelpers.course.results import read

# %% [markdown]
# What follows can be changed: here, in Colab's form on the right, or from the command line
# (`nbhelpers run 01 -p seed=1`).

# %% cellView="form" tags=["parameters"]
# @markdown Which encoder to load: "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown The data set that the other lessons use; this one does not read it.
corpus = "sample"  # @param {type: "string"}
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
# The last two rows matter most. *Precision* is the number format of matrix products, and *because* says what decided it.
# bf16 is fast on NVIDIA GPUs from Ampere on (A100, RTX 30, L4, H100) and on CPUs that have AMX or AVX512-BF16. A T4, the
# usual free Colab GPU, is older: there fp16 is the fast format, and it needs loss scaling.
#
# Names promise little, so measure. Training is mostly matrix products:

# %%
device = environment.best_device()
formats = {"fp32": torch.float32, "bf16": torch.bfloat16}
speed = {name: environment.matmul_speed(dtype, device, size=matrix_size) for name, dtype in formats.items()}
pd.Series(speed, name="TFLOP/s").to_frame().round(3)

# %%
ratio = speed["bf16"] / speed["fp32"]
chosen, reason = environment.best_precision(device)
print(f"bf16 products run {ratio:.1f} times as fast as fp32 here; the course will train in {chosen} ({reason}).")

# %% [markdown]
# On a CPU with AMX the ratio is near 10, on one with AVX512-BF16 near 2, on an older CPU below 1: there bf16 is imitated,
# and the course stays with fp32.
#
# ## What precision costs
#
# fp32 keeps about seven decimal digits, fp16 three, bf16 two. fp16 ends at 65,504; bf16 reaches as far as fp32.

# %%
limits = {name: torch.finfo(dtype) for name, dtype in {**formats, "fp16": torch.float16}.items()}
pd.DataFrame({name: {"next number after 1": 1 + x.eps, "largest": x.max, "smallest normal": x.tiny}
              for name, x in limits.items()}).T

# %% [markdown]
# Those two digits decide how training is written. A fine-tuning step changes a weight of size 0.1 by about 0.00001. Take
# a thousand such steps in each format:

# %%
for name, dtype in formats.items():
    weight = torch.tensor(0.1, dtype=dtype)
    for _ in range(1000):
        weight -= torch.tensor(1e-5, dtype=dtype)
    print(f"{name}: 0.1 - 1000 x 0.00001 = {weight.item():.4f}")

# %% [markdown]
# In bf16 nothing happened: each step is smaller than half the gap to the next number, and rounds away. A model kept
# *entirely* in bf16 does not learn at such rates. The remedy is **mixed precision**: weights and their updates stay in
# fp32, and only the matrix products run in bf16. `torch.autocast` does that:

# %%
layer = torch.nn.Linear(4, 2).to(device)
with torch.autocast(device.type, torch.bfloat16):
    product = layer(torch.ones(1, 4, device=device))
print(f"weights {layer.weight.dtype}, product {product.dtype}")

# %% [markdown]
# fp16 has the opposite weakness: small gradients fall below its smallest number and become zero. Loss scaling multiplies
# the loss before the backward pass and divides the gradients after it. All training in this course does what the
# precision asks for; you do not need to remember it.
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
# the library version and the hardware. Here the same numbers are added forwards and backwards:

# %%
environment.set_seed(seed)
numbers = torch.randn(100_000)
forwards, backwards = numbers.cumsum(0)[-1].item(), numbers.flip(0).cumsum(0)[-1].item()
print(f"forwards {forwards:.6f}, backwards {backwards:.6f}, difference {abs(forwards - backwards):.1e}")

# %% [markdown]
# A difference in the last digits in step 1 is a different model by step 1,000. So: with one seed, one machine, the same
# versions and the same number of threads, our CPU runs are identical bit for bit (a test checks it). Elsewhere, expect
# the same result only within the spread of seeds. How wide is that? Lesson 3 fine-tunes this encoder on MELD with
# several seeds:

# %%
runs = [row for row in read("utterance") if row["row"] == "fine-tuning"]
f1 = pd.Series([100 * row["test"]["weighted_f1"] for row in runs])
print(f"{len(f1)} seeds: weighted F1 {f1.mean():.1f} on average, from {f1.min():.1f} to {f1.max():.1f}, sd {f1.std():.2f}")

# %% [markdown]
# One run is one draw from that range. A difference smaller than it, seen once, shows nothing. That is why every
# comparison in this course has at least five seeds and a test.
#
# ## The encoder
#
# The embedded encoder comes as a Python package, so nothing is downloaded. Its weights are compared with a known SHA-256
# digest before they are loaded, and only the safetensors format is accepted: unlike a pickle file, it cannot run code.

# %%
tokenizer, model = encoders.load(encoder, labels=("calm", "angry"))
size = sum(p.numel() for p in model.parameters()) / 1e6
print(f"{type(model.encoder).__name__}, {size:.1f} M parameters, reads up to {tokenizer.model_max_length} tokens")

# %%
examples = batching.tokenize(["You did what?", "Fine."], tokenizer)
batch = batching.Collate(tokenizer.pad_token_id)(examples)
for row in batch["input_ids"]:
    print(tokenizer.convert_ids_to_tokens(row.tolist()))

# %% [markdown]
# Each text gets a token in front and one behind, and the shorter one is padded to the longer one. A BERT says `[CLS]`,
# `[SEP]` and `[PAD]`; a RoBERTa says `<s>`, `</s>` and `<pad>`. RoBERTa counts positions from 2, which is why its
# configuration speaks of 514 positions and it reads 512 tokens all the same. `encoders.py` settles such differences.

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
import os

before = huggingface_hub.constants.ENDPOINT
os.environ["HF_ENDPOINT"] = "https://mirror.example"
print("asked for the mirror, will use", huggingface_hub.constants.ENDPOINT)
os.environ["HF_ENDPOINT"] = before

# %% [markdown]
# No error, no effect. Set such variables before Python starts, or in the first cell above all imports.
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
# The course was tested with the versions in `constraints.txt`. When a result differs, compare these first.

# %%
pd.Series(environment.versions(), name="version").to_frame()

# %% [markdown]
# ## Recap
#
# - Matrix products in bf16 (or fp16 on older GPUs), weights in fp32; which one, the hardware decides.
# - A seed repeats a run on the same machine with the same versions. Across machines, compare averages over seeds.
# - Encoders come from a package, a folder, the Hub or a mirror; variables must be set before the import.
#
# `nbhelpers doctor` shows this lesson's facts on the command line. Next: [2. Look at the data](02_eda.ipynb).

# %%
headline(f"{chosen} products, TFLOP/s", speed.get(chosen, speed["fp32"]))
