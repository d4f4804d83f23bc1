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
# # 7. Deployment
#
# After this lesson you can
#
# - turn a checkpoint into a small, fast folder and prove that it still gives the same answers,
# - run it as a service that stays up, and measure how it behaves under load,
# - watch it in production: notice when what comes in is no longer what it was trained on.
#
# <!-- facts -->
# Measured: default profile 2.3 min, 2.8 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# A trained model is a folder on your disk. Others want an address that answers, quickly, today and in a year. Each step
# from here to there can change the answers without an error, so each is compared with the original.
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
import asyncio
import json
import re
import subprocess
import time
import warnings

import httpx
import numpy as np
import onnxruntime
import pandas as pd
import torch
from IPython.display import display
from onnxruntime.quantization import quantize_dynamic

from nbhelpers import adapters, batching, corpora, encoders, export, metrics, monitoring, plots
from nbhelpers.course import deploy, experiments, results
from nbhelpers.course.exercises import check
from nbhelpers.course.headline import headline

# %% cellView="form" tags=["parameters"]
# @markdown A folder of yours, saved as in this lesson, or nothing: then a small model is trained once and kept.
model_folder = ""  # @param {type: "string"}
# @markdown Train the small model on this many dialogues of each split; 0 uses all.
num_dialogues = 0  # @param {type: "integer"}
# @markdown Seconds of load at each rate of requests.
num_seconds = 6  # @param {type: "integer"}

# %% [markdown]
# ## A folder that knows itself
#
# The small model is lesson 6's: one pass over a dialogue answers every turn, with earlier and later turns in view.
# Training takes some minutes the first time.

# %%
shown = display({"text/plain": ""}, raw=True, display_id=True)


def bar(share):
    shown.update({"text/plain": f"{'#' * round(40 * share):<40} {share:4.0%}"}, raw=True)


folder = Path(model_folder) if model_folder else deploy.small_model(bar, num_dialogues)
tokenizer, model = encoders.load_trained(folder)
config = json.loads((folder / "config.json").read_text())
{name: config.get(name) for name in ("id2label", "causal_turns", "settings", "scores")}

# %% [markdown]
# What must travel with the weights: the names of the classes, the tokenizer, and *how inputs were made*. A model that
# was trained on "Ruby: Burned down?" and is served "Burned down?" gives worse answers, and no error. transformers keeps
# any attribute of `model.config`, so this is all it takes: `model.config.settings = {...}` before `save_pretrained`.
#
# The data to compare on is dev; test stays unread in this lesson.

# %%
settings = config.get("settings", {})
data, names = experiments.read(settings["corpus"])
if num_dialogues:
    data = {split: deploy.first(part, num_dialogues) for split, part in data.items()}


def loader(part):
    rows = experiments.inputs(part, tokenizer, settings)
    return batching.make_dataloader(rows, tokenizer.pad_token_id, max_tokens=4096, batch_size=32, shuffle=False)


batches = {split: loader(data[split]) for split in ("train", "dev")}
{split: f"{len(found.dataset)} inputs, {len(data[split].labels)} turns" for split, found in batches.items()}

# %% [markdown]
# ## ONNX
#
# ONNX is a file format for the computation itself: a graph of operations with its weights, which other programs run
# without Python or torch. `torch.onnx.export` follows the model once with example inputs and writes down what it did.
# By hand, with the sizes that may change named:

# %%
model.eval()
example = {name: torch.ones(2, 9, dtype=torch.long) for name in ("input_ids", "attention_mask")}
axes = {name: {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")} for name in example}
with export.quiet():  # without the exporter's notes on packages that no text model needs
    options = {"dynamic_shapes": axes, "dynamo": True, "verbose": False}
    graph = torch.onnx.export(export.Graph(model), (), kwargs=example, **options)
graph.save("by_hand.onnx")
print(f"{Path('by_hand.onnx').stat().st_size / 2**20:.0f} MiB, {len(list(graph.model.graph))} operations")

# %% [markdown]
# The helper adds the turns of a dialogue as inputs, makes each attention one operation, and writes tokenizer,
# labels, settings, versions, scores and a model card into the same folder:

# %%
form = {"dialogue": settings.get("context", "none") != "none", "settings": settings}
export.export(model, tokenizer, "onnx", **form, scores=config.get("scores"))
print(Path("onnx/README.md").read_text())

# %% [markdown]
# ## Eight bits
#
# A weight in fp32 takes four bytes; rounded to one of 255 steps it takes one. Modern CPUs multiply such small numbers
# faster, too. Each row of a weight matrix gets a scale of its own, and activations are rounded as they come.


# %%
def rounded(matrix):
    scale = np.abs(matrix).max(axis=1, keepdims=True) / 127  # one for each output
    return np.round(matrix / scale) * scale


some = next(layer.weight.detach().cpu().numpy() for layer in model.modules() if isinstance(layer, torch.nn.Linear))
share = np.abs(rounded(some) - some).mean() / np.abs(some).mean()
print(f"rounding changes a weight by {share:.1%} on average")

# %% [markdown]
# Weights take that well. Activations do not: in encoders a few channels are many times larger than the rest, and one
# scale for all leaves the small ones few steps. `export.quantize` divides large channels by a factor and multiplies the
# weights by it, which changes nothing but the rounding
# (SmoothQuant, [Xiao et al. 2022](https://arxiv.org/abs/2211.10438)). Where tokens differ much in size, each gets a
# scale of its own.

# %%
export.quantize(model, tokenizer, "int8", batches["train"], **form)
onnx_tokenizer, onnx_model = export.load_exported("onnx")
_, int8_model = export.load_exported("int8")
print(f"weights: {int8_model.about['weights']}; {export.size_mib('int8') / export.size_mib('onnx'):.0%} of the size")

# %% [markdown]
# ## Pruning, and 16 bits
#
# Three more ways to a smaller model. *Pruned weights*: the smallest 30 % of the numbers become zero. *Pruned units*:
# a tenth of the hidden units of each feed-forward block goes, so that the matrices are really smaller. *bf16*: half
# the bytes, with the range of fp32 and 8 bits of precision.

# %%
smaller = {
    "30 % of weights zero": pruning.prune_weights(model, 0.3),
    "10 % of units gone": pruning.prune_units(model, 0.1),
    "bf16": export.bf16(model),
}
with encoders.quiet():
    for name, other in smaller.items():
        other.save_pretrained(name)

# %% [markdown]
# ## What each step costs and buys
#
# The answers of each on dev, against the original: the share of equal labels, the largest difference of a probability,
# and the score. Speed as well, for one input at a time and for 32 together.


# %%
def score(logits):
    return 100 * metrics.scores(data["dev"].labels, logits.argmax(-1).numpy(), len(names))["weighted_f1"]


steps = {"torch": (export.make_logits_fn(model), folder), "onnx": (onnx_model, "onnx"), "int8": (int8_model, "int8")}
steps |= {name: (export.make_logits_fn(other), name) for name, other in smaller.items()}
table = export.compare(steps, batches["dev"], score, force=True)
table.rename(columns={"score": "weighted F1"}).round(4)

# %% [markdown]
# Read the last three columns first. ONNX gives the same answers up to the last digits. Int8 changes a few labels; look
# whether the score moves more than another seed would move it. Pruned weights make nothing smaller or faster: a dense
# product multiplies zeros, too. Pruned units do, but those answers change; train such a model for another epoch.
#
# Here everything was shown (`force=True`). Without it, `export.compare` refuses a step that agrees on less than 98 % of
# the labels, and so does the command that does all of the above:
#
#     nbhelpers export my_model --to onnx --quantize int8

# %%
try:
    export.compare({name: steps[name] for name in ("torch", "10 % of units gone")}, batches["dev"], score)
except export.ExportError as error:
    print(error)

# %% [markdown]
# The same for MELD's texts and a model of single turns, on an idle machine (`python tests/benchmarks/service.py`), with
# what we had set out to reach. Of each row, the last measurement:

# %%
last = {row["row"]: row for row in results.read("service")}
pd.DataFrame(
    [
        {"measured": name, "number": number, "value": row[number], "wanted": wanted, "holds": row["holds"][number]}
        for name, row in last.items()
        for number, wanted in row["targets"].items()
    ]
)

# %% [markdown]
# ## A service
#
# `nbhelpers serve` loads such a folder, tries it, and answers over HTTP. Here in a process of its own:

# %%
command = [sys.executable, "-m", "nbhelpers.course.cli", "serve", "onnx", "--port", "0"]
with open("service.log", "w") as log:
    service = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
lines = [service.stdout.readline(), service.stdout.readline()]
address = re.search(r"http://\S+", lines[-1])[0]
print(re.sub(r":\d{4,5}\b", ":8000", "".join(lines)))  # the port differs from run to run

# %%
talk = [("Ann", "The bus left without me."), ("Bo", "Again?"), ("Ann", "Again. I could scream.")]
turns = [{"speaker": speaker, "text": text} for speaker, text in talk]
answer = httpx.post(f"{address}/classify/dialogue", json={"turns": turns, "top_k": 2}).json()
for (speaker, text), result in zip(talk, answer["results"], strict=True):
    print(f"{speaker}: {text:<25}", {x["label"]: round(x["score"], 2) for x in result["scores"]})

# %% [markdown]
# Open the address in a browser for a page where you type a dialogue. A service meets requests that nobody planned.
# Each gets one sentence:

# %%
wrong = {"nothing": {"texts": []}, "a number": {"texts": [7]}, "a typo": {"text": ["a"]}}
for name, request in {**wrong, "too long": {"texts": ["a" * 3000]}}.items():
    reply = httpx.post(f"{address}/classify", json=request)
    print(f"{name}: {reply.status_code}, {reply.json()['error']}")

# %% [markdown]
# ## Under load
#
# How long does an answer take while others ask, too? Requests come at a fixed rate, whether the earlier ones are
# answered or not, and each clock starts when its request was *due*. (A loop that waits for each answer before it asks
# again slows down together with the service, and so hides the waiting.)

# %%
texts, due = data["dev"].texts, time.perf_counter


async def ask(client, text, at):
    await asyncio.sleep(max(0, at - due()))
    reply = await client.post("/classify", json={"texts": [text]})
    return 1000 * (due() - at) if reply.status_code == 200 else float("nan")


async def load(rate):
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=address, timeout=30, limits=limits) as client:
        begin = due() + 0.1
        times = [begin + i / rate for i in range(rate * num_seconds)]
        return await asyncio.gather(*(ask(client, texts[i % len(texts)], at) for i, at in enumerate(times)))


# %%
measured = {rate: await load(rate) for rate in (10, 25, 50, 100)}
quantiles = {"median": 0.5, "95 %": 0.95, "99 %": 0.99}
curves = pd.DataFrame({name: {r: np.nanquantile(x, q) for r, x in measured.items()} for name, q in quantiles.items()})
plots.run_curves(curves.rename_axis("requests per second"), "milliseconds to an answer", over="load")

# %%
print("not answered:", {rate: int(np.isnan(times).sum()) for rate, times in measured.items()})

# %% [markdown]
# Watch the 99 % line, not the mean: someone who sends a hundred requests meets it. Client and service share this
# machine, so the numbers hold for it and for comparisons on it.
#
# Requests that arrive together are computed together, those of like length in one batch. The service counts what it
# does, in the format that Prometheus reads:

# %%
counts = httpx.get(f"{address}/metrics").text
print("\n".join(line for line in counts.splitlines() if re.match(r"nbhelpers_(requests|labels)_total", line)))

# %% [markdown]
# To stop a service, send SIGTERM, as Docker and Kubernetes do. It takes no new work, answers what it has, and ends:

# %%
service.terminate()  # sends SIGTERM
service.wait(timeout=10)
print("ended; lines in its log:", len(Path("service.log").read_text().splitlines()))

# %% [markdown]
# ## Watching
#
# A service that answers may still be wrong: users change, a new client sends another language, an upstream bug empties
# half of the texts. Labels to compare with come late or never. What can be watched at once is what the model says:
# the shares of its labels, and how sure it is.
#
# The reference is what the model says of dev (not the gold labels of dev, whose shares it never quite meets):


# %%
def answers_to(split):
    probabilities = export.predict(onnx_model, loader(split)).softmax(-1)
    return [names[i] for i in probabilities.argmax(-1)], probabilities.amax(-1).tolist()


reference = answers_to(data["dev"])
pd.Series(reference[0]).value_counts(normalize=True).round(3)

# %% [markdown]
# Two streams: new dialogues of the same kind (the texts of test; its labels stay unread), and product reviews, which
# this model was never meant for. `monitoring.Monitor` looks at the last answers, here as many as there are reviews, and
# speaks up when a share leaves the interval that chance explains. It checks seven classes again and again, so each
# interval is wide enough that all checks together give a false alarm in one of a hundred windows.

# %%
reviews = corpora.load("reviews")["dev"]["text"][:]
count = len(reviews)
strangers = experiments.Split(reviews, [0] * count, ["Ann"] * count, list(range(count)), [])
rows = {}
for name, split in {"new dialogues": data["test"], "product reviews": strangers}.items():
    watch = monitoring.Monitor(*reference, names, window=min(200, count, len(split.texts)))
    for sentence in watch.update(*answers_to(split)):
        print(f"{name}: {sentence}")
    rows[name] = watch.summary()
pd.DataFrame(rows).T.round(4)

# %% [markdown]
# An alarm says that something changed, not what. Read twenty of the texts; it takes five minutes and usually tells.
# The other way round, silence proves little: a model can get worse while its answers look the same. Label a small
# random sample every month, and compute the score again.
#
# In production the same counts come from `/metrics`: `nbhelpers_labels_total` and `nbhelpers_confidence`.

# %% [markdown]
# ## What goes wrong
#
# ### A quantised model that cannot be saved
#
# Many posts quantise with torch and then call `save_pretrained`:

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch_int8 = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
try:
    torch_int8.save_pretrained("torch_int8")
except Exception as error:
    print(f"{type(error).__name__}: {error}")

# %% [markdown]
# `torch.save` of its weights would work, but `from_pretrained` builds the model without the quantised layers and cannot
# put them anywhere. torch itself points to other libraries by now.
#
# ### One size only
#
# Without `dynamic_shapes`, the graph knows the size of the example and no other:

# %%
with export.quiet():
    torch.onnx.export(export.Graph(model), (), kwargs=example, dynamo=True, verbose=False).save("fixed.onnx")
session = onnxruntime.InferenceSession("fixed.onnx")
one = {name: column.astype(np.int64) for name, column in tokenizer("Burned down?", return_tensors="np").items()}
try:
    session.run(None, {node.name: one[node.name] for node in session.get_inputs()})
except Exception as error:
    print(str(error).split(" : ", 2)[-1].strip())

# %% [markdown]
# The usual repair is to pad every text to that size, and to compute mostly padding from then on.
#
# ### An adapter that was never merged
#
# The folder of an adapter holds no encoder, and a model with one has each layer twice. Merge first (lesson 4):

# %%
warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # peft 0.21 still asks by a name that will go
try:
    export.export(adapters.lora(encoders.load_trained(folder)[1]), tokenizer, "adapter")
except export.ExportError as error:
    print(error)

# %% [markdown]
# ### Eight bits with the defaults
#
# onnxruntime's one-line quantisation of the same graph, without care for large channels. Compare its agreement with
# that of int8 above:

# %%
with export.quiet():
    quantize_dynamic("onnx/model.onnx", "plain_int8.onnx", op_types_to_quantize=["MatMul"])
plain = export.OnnxModel(onnxruntime.InferenceSession("plain_int8.onnx"), onnx_model.about)
logits = {name: export.predict(run, batches["dev"]) for name, run in (("torch", steps["torch"][0]), ("plain", plain))}
print(
    f"equal labels: {export.agreement(logits['torch'], logits['plain'])['labels']:.1%} "
    f"(int8 above: {table.loc['int8', 'same labels']:.1%})"
)

# %% [markdown]
# ## Further
#
# *One machine*: `nbhelpers serve onnx --workers 4` runs four processes behind one address; one that dies is replaced.
# Each loads the model and gets its share of the cores. Workers help when requests are many and small; a single one uses
# all cores for a batch already.
#
# *More machines*: put the same folder behind a platform that starts copies, checks `/ready` and sends SIGTERM: a
# container with `nbhelpers serve /model --host 0.0.0.0`, or Ray Serve (`deploy/ray_serve.py`, tried with two replicas
# on one machine). Put TLS and limits per client into the proxy in front; `NBHELPERS_API_KEY` sets a key.
#
# ## Exercise
#
# The population stability index (PSI) sums `(p - q) * ln(p / q)` over the classes, with the shares `p` of now and `q`
# of before. Write it for two lists of *counts*. A class may have no example on one side: count at least 0.5 for each.


# %%
def psi(now, before):
    return None  # your code: a number, 0 for equal shares


check("psi", psi)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
# def shares(counts):
#     counts = [max(n, 0.5) for n in counts]
#     return [n / sum(counts) for n in counts]
#
# def psi(now, before):
#     return sum((p - q) * math.log(p / q) for p, q in zip(shares(now), shares(before)))
# ```
# </details>
#
# ## Recap
#
# - Labels, tokenizer and the way inputs are made travel with the weights.
# - Every step to a smaller model is compared with the original: labels first, then the score.
# - Dynamic sizes, merged adapters, int8 with care for large channels.
# - Measure latency at a fixed rate of requests, and look at the slowest hundredth.
# - Watch the shares of the labels; they tell before anyone complains.

# %%
headline("int8, same labels", table.loc["int8", "same labels"])
