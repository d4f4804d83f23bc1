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
# - turn a checkpoint into a small, fast folder and show that its predictions stay the same,
# - run it as a service that stays up, and measure how it behaves under load,
# - monitor it in production: notice when the texts it receives no longer look like its training data.
#
# <!-- facts -->
# Measured: default profile 2.3 min, 2.8 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# A trained model is a folder on your disk. Other people need a service that answers quickly and reliably, for a long
# time. Each step from the folder to the service can change the predictions without any error. So this lesson compares
# each step with the original model.
#
# The setup cell does nothing if the course is already installed.

# %% Setup
try:
    from nbhelpers import environment
except ImportError:  # on Colab or Kaggle, after:  !git clone <the address of this course> nbhelpers
    from runpy import run_path

    run_path("nbhelpers/notebooks/colab.py")

# %%
import asyncio
import copy
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

from nbhelpers import adapters, batching, corpora, dialogue, encoders, export, metrics, monitoring, plots, pruning
from nbhelpers.course import deploy
from nbhelpers.course.lesson import check, diagrams, headline, quiz, results

# %% [markdown]
# This is how a text becomes probabilities. The lesson is about the whole path, as a service:

# %%
diagrams.path(["text", "tokens", "encoder", "pooling", "head", "softmax"])

# %% [markdown]
# What can be set in this lesson:

# %% cellView="form" tags=["parameters"]
# @markdown A model folder of yours, saved as in this lesson; if empty, a small model is trained once and kept.
model_folder = ""  # @param {type: "string"}
# @markdown Train the small model on this many dialogues of each split; 0 uses all.
num_dialogues = 0  # @param {type: "integer"}
# @markdown Seconds of load at each rate of requests.
num_seconds = 6  # @param {type: "integer"}

# %% [markdown]
# ## A folder that describes itself
#
# The small model is that of lesson 6: one pass over a dialogue classifies every turn, and each turn sees earlier and
# later turns. The first time, training takes some minutes.

# %%
progress_line = display({"text/plain": ""}, raw=True, display_id=True)


def show_progress(share):
    progress_line.update({"text/plain": f"{'#' * round(40 * share):<40} {share:4.0%}"}, raw=True)


folder = Path(model_folder) if model_folder else deploy.small_model(show_progress, num_dialogues)
tokenizer, model = encoders.load_trained(folder)
config = json.loads((folder / "config.json").read_text())
{name: config.get(name) for name in ("id2label", "causal_turns", "settings", "scores")}

# %% [markdown]
# Four things must be saved together with the weights: the names of the classes, the tokenizer, what was done to the
# texts, and *how the inputs were made*. Suppose a model was trained on "Ruby: Burned down?" and the service gives it
# "Burned down?". Its predictions are then worse, and there is no error. transformers saves any attribute of
# `model.config`, so one line is enough: `model.config.settings = {...}` before `save_pretrained`.
#
# What was done to the texts is saved in the tokenizer: `corpora.normalizing_tokenizer` gave it the rules by which
# `corpora.load` normalizes (lesson 3). The temperature in `scores` is only for information: it is in the weights of the
# last layer already, so every program returns calibrated probabilities.
#
# The comparisons use dev. The labels of test are not used in this lesson. Load the corpus that the settings name:

# %%
settings = config.get("settings", {})
splits = corpora.load(settings["corpus"])
label = "emotion" if "emotion" in splits["train"].features else "label"
names = splits["train"].features[label].names
data = {split: part.to_pandas() for split, part in splits.items()}
if num_dialogues:
    for split, frame in data.items():
        first_dialogues = frame["dialogue_id"].unique()[:num_dialogues]
        data[split] = frame[frame["dialogue_id"].isin(first_dialogues)]

# %% [markdown]
# `dialogue.make_examples` makes the inputs as the settings tell, here whole dialogues with the names of the speakers:

# %%
input_options = dialogue.input_options(settings)


def make_dataloader(frame):
    columns = {"dialogue_id": "dialogue_ids", "speaker": "speakers"}  # column -> argument of make_examples
    about_turns = {argument: frame[column].tolist() for column, argument in columns.items() if column in frame}
    examples = dialogue.make_examples(frame["text"].tolist(), tokenizer, **about_turns, **input_options)
    return batching.make_dataloader(examples, tokenizer.pad_token_id, max_tokens=4096, batch_size=32, shuffle=False)


dataloaders = {split: make_dataloader(data[split]) for split in ("train", "dev")}
{split: f"{len(each.dataset)} inputs, {len(data[split])} turns" for split, each in dataloaders.items()}

# %% [markdown]
# ## ONNX
#
# ONNX is a file format for the computation itself: a graph of operations with their weights. Other programs can run it
# without Python and torch. `torch.onnx.export` runs the model once with example inputs and writes down the operations.
# The next cell does it by hand and names the sizes that may change, the batch size and the number of tokens:

# %%
model.eval()
example_inputs = {name: torch.ones(2, 9, dtype=torch.long) for name in ("input_ids", "attention_mask")}
dynamic_shapes = {name: {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")} for name in example_inputs}
with export.quiet():  # hides the exporter's notes on packages that no text model needs
    options = {"dynamic_shapes": dynamic_shapes, "dynamo": True, "verbose": False}
    program = torch.onnx.export(export.Graph(model), (), kwargs=example_inputs, **options)
program.save("by_hand.onnx")
print(f"{Path('by_hand.onnx').stat().st_size / 2**20:.0f} MiB, {len(list(program.model.graph))} operations")

# %% [markdown]
# The helper does more. It adds the positions of the turns of a dialogue as inputs, and makes each attention one
# operation. It also writes the tokenizer, labels, settings, versions, scores and a model card into the same folder:

# %%
is_dialogue_model = settings.get("context", "none") != "none"
export_options = {"dialogue": is_dialogue_model, "settings": settings}
export.export(model, tokenizer, "onnx", **export_options, scores=config.get("scores"))
print(Path("onnx/README.md").read_text())

# %% [markdown]
# The text above is the model card, a short description of the model.
#
# ## Eight bits
#
# A weight in fp32 takes four bytes. *Quantization* rounds it to one of 255 steps, which takes one byte. CPUs with the
# instructions VNNI or AMX also multiply such small numbers faster than fp32. (With AMX, bf16 is fast as well. The table
# below shows which variant is fastest on this machine.) Each row of a weight matrix has its own *scale*, the size of a
# step:

# %%
diagrams.rounding()

# %% [markdown]
# Activations are rounded while the model runs. How much does rounding change a weight?


# %%
def round_to_8_bits(matrix):
    scale = np.abs(matrix).max(axis=1, keepdims=True) / 127  # one for each output
    return np.round(matrix / scale) * scale


first_linear = next(module for module in model.modules() if isinstance(module, torch.nn.Linear))
weights = first_linear.weight.detach().cpu().numpy()
change = np.abs(round_to_8_bits(weights) - weights).mean() / np.abs(weights).mean()
print(f"rounding changes a weight by {change:.1%} on average")

# %% [markdown]
# Weights tolerate this well. Activations do not. In encoders, a few channels are many times larger than the rest, and
# with one scale for all channels only few steps are left for the small ones. `export.quantize` divides large channels
# by a factor and multiplies the weights by it. This changes nothing but the rounding (SmoothQuant,
# [Xiao et al. 2022](https://arxiv.org/abs/2211.10438)). Where tokens differ much in size, each token has its own scale.
# Elsewhere, the tokens of a batch share one. So with 8 bits, the probabilities of a text depend a little on the other
# texts of its batch: on MELD's test set they moved by up to 0.13 (the row "answers with other neighbours" in
# `data/results/service.jsonl`).

# %%
export.quantize(model, tokenizer, "int8", dataloaders["train"], **export_options)
onnx_tokenizer, onnx_model = export.load_exported("onnx")
_, int8_model = export.load_exported("int8")
print(f"weights: {int8_model.metadata['weights']}; {export.size_mib('int8') / export.size_mib('onnx'):.0%} of the size")

# %% [markdown]
# ## Pruning, and 16 bits
#
# There are more ways to make a model smaller. *Pruned weights*: the smallest 30 % of the numbers become zero.
# *Pruned units*: a tenth of the hidden units of each feed-forward block is removed, so the matrices really become
# smaller. *bf16*: each number takes half the bytes, with the range of fp32 and 8 bits of precision.

# %%
smaller = {
    "30 % of weights zero": pruning.prune_weights(model, 0.3),
    "10 % of units gone": pruning.prune_units(model, 0.1),
    "bf16": copy.deepcopy(model).bfloat16(),
}
with encoders.quiet():
    for name, smaller_model in smaller.items():
        smaller_model.save_pretrained(name)

# %% [markdown]
# ## What each variant gains and loses
#
# The next cell compares the predictions of each variant on dev with those of the original: the share of equal labels,
# the largest difference of a probability, and the score. It also measures the speed, for one input at a time and for 32
# together.


# %%
def score(logits):
    return 100 * metrics.scores(data["dev"][label], logits.argmax(-1).numpy(), len(names))["weighted_f1"]


variants = {"torch": (export.make_logits_fn(model), folder)}
variants |= {"onnx": (onnx_model, "onnx"), "int8": (int8_model, "int8")}
variants |= {name: (export.make_logits_fn(each), name) for name, each in smaller.items()}
table = export.compare(variants, dataloaders["dev"], score, force=True)
table.rename(columns={"score": "weighted F1"}).round(4)

# %% [markdown]
# **Exercise.** How many times smaller are the weights of int8 than those of *torch*?

# %%
times_smaller = None  # your answer
check("07-smaller", times_smaller, table)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# times_smaller = table.loc["torch", "MiB"] / table.loc["int8", "MiB"]
# ```
# </details>
#
# Read the last three columns first. The predictions of ONNX are the same up to the last digits. Int8 changes a few
# labels; ask whether the score changes more than another seed would change it. Pruned weights make nothing smaller or
# faster, because a dense matrix product multiplies zeros as well. Pruned units do, but the predictions change. Train
# such a model for another epoch.
#
# Here every variant was shown (`force=True`). Without it, `export.compare` refuses a variant that agrees with the
# original on less than 98 % of the labels. So does the command that makes all of the above in one step:
#
#     nbhelpers export my_model --to onnx --quantize int8

# %%
try:
    export.compare({name: variants[name] for name in ("torch", "10 % of units gone")}, dataloaders["dev"], score)
except export.ExportError as error:
    print(error)

# %% [markdown]
# The next table has such measurements for the texts of MELD and a model of single turns, on a machine that did nothing
# else. The columns *wanted* and *holds* say what we aimed for, and whether it was reached. For each row, the table has
# the last measurement. Reproduce it with `python tests/benchmarks/service.py`.

# %%
last = {row["row"]: row for row in results.read("service")}
print("measured on", " and on ".join(dict.fromkeys(row["device"] for row in last.values())))
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
# `nbhelpers serve` loads such a folder, tests it, and answers requests over HTTP. A request takes this path:

# %%
diagrams.request()

# %% [markdown]
# Here the service runs in a process of its own:

# %%
command = [sys.executable, "-m", "nbhelpers.course.cli", "serve", "onnx", "--port", "0"]
with open("service.log", "w") as log:
    service = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
lines = [service.stdout.readline(), service.stdout.readline()]
address = re.search(r"http://\S+", lines[-1])[0]
print(re.sub(r":\d{4,5}\b", ":8000", "".join(lines)))  # the real port differs from run to run

# %% [markdown]
# Send it a dialogue. For each turn it returns the two most probable labels:

# %%
conversation = [("Ann", "The bus left without me."), ("Bo", "Again?"), ("Ann", "Again. I could scream.")]
turns = [{"speaker": speaker, "text": text} for speaker, text in conversation]
response = httpx.post(f"{address}/classify/dialogue", json={"turns": turns, "top_k": 2}).json()
for (speaker, text), result in zip(conversation, response["results"], strict=True):
    print(f"{speaker}: {text:<25}", {each["label"]: round(each["score"], 2) for each in result["scores"]})

# %% [markdown]
# Open the address in a browser for a page where you can type a dialogue.
#
# A service also receives requests that nobody planned for. Each gets an error message of one sentence:

# %%
bad_requests = {"nothing": {"texts": []}, "a number": {"texts": [7]}, "a typo": {"text": ["a"]}}
bad_requests["too long"] = {"texts": ["a" * 3000]}
for name, request in bad_requests.items():
    response = httpx.post(f"{address}/classify", json=request)
    print(f"{name}: {response.status_code}, {response.json()['error']}")

# %% [markdown]
# ## Under load
#
# How long does a request take while others are waiting as well? This is its *latency*. In this test, requests are sent
# at a fixed rate, whether earlier ones are answered or not. The clock of a request starts when it is *due*. (A loop
# that waits for each answer before it sends the next request slows down together with the service, and so hides the
# waiting time.)

# %%
texts, now = data["dev"]["text"].tolist(), time.perf_counter


async def send_request(client, free_connections, text, due):
    await asyncio.sleep(max(0, due - now()))
    try:
        async with free_connections:  # waiting here costs nothing; waiting inside of httpx would slow the client down
            response = await client.post("/classify", json={"texts": [text]})
    except httpx.TransportError:
        return float("nan")
    return 1000 * (now() - due) if response.status_code == 200 else float("nan")  # milliseconds


# %%
async def send_at_rate(rate):
    free_connections = asyncio.Semaphore(64)
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        start = now() + 0.1
        requests = [
            send_request(client, free_connections, texts[i % len(texts)], start + i / rate)
            for i in range(rate * num_seconds)
        ]
        return await asyncio.gather(*requests)


# %% [markdown]
# The first requests to a new service are slower, so one round warms it up and is not counted. Do not measure with few
# requests: of a hundred, the 99 % line would be a single one, the slowest.

# %%
await send_at_rate(50)
latencies = {rate: await send_at_rate(rate) for rate in (25, 50, 100, 200)}
quantiles = {"median": 0.5, "95 %": 0.95, "99 %": 0.99}
curves = {name: {rate: np.nanquantile(ms, q) for rate, ms in latencies.items()} for name, q in quantiles.items()}
frame = pd.DataFrame(curves).rename_axis("requests per second")
plots.run_curves(frame, "milliseconds to an answer", over="load")

# %%
not_answered = {rate: int(np.isnan(ms).sum()) for rate, ms in latencies.items()}
frame.round(1).assign(requests=frame.index * num_seconds, not_answered=pd.Series(not_answered))

# %% [markdown]
# Look at the 99 % line and not at the mean: somebody who sends a hundred requests will meet it. As long as the service
# keeps up with the rate, the lines rise slowly. Beyond that, requests wait for each other, and the longer the load
# lasts, the longer they wait. The rate where this begins is what the service can do. The client and the service share
# this machine, so the numbers are valid for this machine and for comparisons on it.
#
# Requests that arrive together are computed together, those of similar length in one batch. The service counts what it
# does, in the format that the monitoring program Prometheus reads:

# %%
counts = httpx.get(f"{address}/metrics").text
print("\n".join(line for line in counts.splitlines() if re.match(r"(http_requests|nbhelpers_predictions)_total", line)))

# %% [markdown]
# To stop a service, send it the signal SIGTERM, as Docker and Kubernetes do. It accepts no new requests, answers those
# that it has, and ends:

# %%
service.terminate()  # sends SIGTERM
service.wait(timeout=10)
print("ended; lines in its log:", len(Path("service.log").read_text().splitlines()))

# %% [markdown]
# ## Monitoring
#
# A service that answers every request may still be wrong. Users change, a new client sends another language, or a bug
# elsewhere empties half of the texts. Labels to compare with come late or never. But you can watch the predictions at
# once: the share of each label, and the confidence.
#
# The reference is what the model predicts on dev. (Its gold labels would be a wrong reference, because predictions
# never have quite the same shares.)


# %%
def labels_and_confidences(frame):
    probabilities = export.predict(onnx_model, make_dataloader(frame)).softmax(-1)
    return [names[i] for i in probabilities.argmax(-1)], probabilities.amax(-1).tolist()


reference = labels_and_confidences(data["dev"])
pd.Series(reference[0]).value_counts(normalize=True).round(3)

# %% [markdown]
# Watch two streams: new dialogues of the same kind (the texts of test; its labels are not used), and product reviews,
# for which this model was never meant. `monitoring.Monitor` looks at the most recent predictions, here as many as there
# are reviews. It reports a share that leaves the interval that chance explains. It checks seven classes again and
# again, so each interval is wide enough that all checks together give a false alarm in at most one of a hundred
# windows. The turns of a dialogue resemble each other, so a window of them varies more than one of single texts.
# `groups` tells which turns belong together. Without it, new dialogues of the same kind gave four to five alarms in a
# hundred windows (`tests/unit/test_monitoring.py` measures it).

# %%
reviews = corpora.load("reviews")["dev"].to_pandas()
reviews = reviews.assign(speaker="Ann", dialogue_id=range(len(reviews)))  # each review is a dialogue of one turn
rows, groups = {}, data["dev"].get("dialogue_id")  # None for a corpus without dialogues
for name, frame in {"new dialogues": data["test"], "product reviews": reviews}.items():
    monitor = monitoring.Monitor(*reference, names, window=min(200, len(reviews), len(frame)), groups=groups)
    for alert in monitor.update(*labels_and_confidences(frame)):
        print(f"{name}: {alert}")
    rows[name] = monitor.summary()
pd.DataFrame(rows).T.round(4)

# %% [markdown]
# If the new dialogues give an alarm as well, compare it with that of the reviews: by how much is the interval left, and
# is the p-value small? The dialogues of test are many windows long, and each window gives a false alarm with a
# probability of up to one in a hundred. So up to one such stream in six gives one.
#
# An alarm says that something changed, but not what. Read twenty of the texts; it takes five minutes and usually shows
# the reason. On the other hand, no alarm proves little: a model can become worse while the shares of its labels look
# the same. So label a small random sample every month, and compute the score again.
#
# In production the same counts come from `/metrics`: `nbhelpers_predictions_total` and `nbhelpers_confidence`.

# %% [markdown]
# ## What goes wrong
#
# ### A quantized model that cannot be saved
#
# Many posts quantize with torch and then call `save_pretrained`:

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch_int8 = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
try:
    torch_int8.save_pretrained("torch_int8")
except Exception as error:
    print(f"{type(error).__name__}: {error}")

# %% [markdown]
# `torch.save` of its weights would work. But `from_pretrained` builds the model without the quantized layers and cannot
# load the weights into it. By now torch itself recommends other libraries.
#
# ### Only one input size
#
# Without `dynamic_shapes`, the graph accepts the size of the example inputs and no other:

# %%
with export.quiet():
    fixed = torch.onnx.export(export.Graph(model), (), kwargs=example_inputs, dynamo=True, verbose=False)
fixed.save("fixed.onnx")
session = onnxruntime.InferenceSession("fixed.onnx")
encoded = {name: column.astype(np.int64) for name, column in tokenizer("Burned down?", return_tensors="np").items()}
try:
    session.run(None, {node.name: encoded[node.name] for node in session.get_inputs()})
except Exception as error:
    print(str(error).split(" : ", 2)[-1].strip())

# %% [markdown]
# Many people then pad every text to that size. From then on, the model mostly computes padding.
#
# ### An adapter that was never merged
#
# The folder of an adapter does not contain the encoder, and a model with an adapter computes more in each adapted
# layer. So merge the adapter first (lesson 4). Otherwise `export` refuses the model:

# %%
warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # peft 0.21 uses a name that transformers will remove
try:
    export.export(adapters.lora(encoders.load_trained(folder)[1]), tokenizer, "adapter")
except export.ExportError as error:
    print(error)

# %% [markdown]
# ### Eight bits with the default options
#
# This is onnxruntime's quantization in one line, for the same graph, without any treatment of large channels. Compare
# its agreement with that of int8 above:

# %%
with export.quiet():
    quantize_dynamic("onnx/model.onnx", "plain_int8.onnx", op_types_to_quantize=["MatMul"])
plain_int8 = export.OnnxModel(onnxruntime.InferenceSession("plain_int8.onnx"), onnx_model.metadata)
logits_fns = {"torch": export.make_logits_fn(model), "plain": plain_int8}
logits = {name: export.predict(logits_fn, dataloaders["dev"]) for name, logits_fn in logits_fns.items()}
agreement = export.agreement(logits["torch"], logits["plain"])
print(f"equal labels: {agreement['labels']:.1%} (int8 above: {table.loc['int8', 'same labels']:.1%})")

# %% [markdown]
# ## More processes, more machines
#
# *One machine*: `nbhelpers serve onnx --workers 4` runs four processes behind one address, and replaces one that dies.
# Each process loads the model and gets its share of the cores. Several workers help when requests are many and small. A
# single one already uses all cores for a batch.
#
# *More machines*: give the same folder to a platform that starts copies of the service, checks `/ready` and sends
# SIGTERM. This can be a container with `nbhelpers serve /model --host 0.0.0.0`, or Ray Serve (`deploy/ray_serve.py`,
# tried with two replicas on one machine). Encryption (TLS) and limits per client belong into the proxy in front of it.
# `NBHELPERS_API_KEY` sets a key that clients must send.
#
# ## Exercises
#
# Write your answer, and run the cell. A wrong answer gets a hint, which grows with each try.
#
# **1.** Round a row of weights to 8 bits. The weight with the largest absolute value becomes 127 or -127, and all
# others are rounded to the nearest step. Return the steps as whole numbers, for instance `[50, -127]`. A row of zeros
# stays zeros.


# %%
def round_row(weights):
    return None  # your code


check("07-round", round_row)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def round_row(weights):
#     scale = max(abs(weight) for weight in weights) / 127
#     return [round(weight / scale) if scale else 0 for weight in weights]
# ```
# </details>
#
# **2.** The population stability index (PSI) tells how much a distribution has changed. It sums `(p - q) * ln(p / q)`
# over the classes, where `p` is the share of a class now and `q` its share before. Write it for two lists of *counts*.
# Raise counts below 0.5 to 0.5 first, and then divide by the sum of the new counts.


# %%
def psi(now, before):
    return None  # your code


check("07-psi", psi)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def shares(counts):
#     counts = [max(n, 0.5) for n in counts]
#     return [n / sum(counts) for n in counts]
#
#
# def psi(now, before):
#     return sum((p - q) * math.log(p / q) for p, q in zip(shares(now), shares(before)))
# ```
# </details>
#
# ## Quiz
#
# Three questions on this lesson. Each choice has an explanation.

# %%
quiz("07-saved")
quiz("07-latency")
quiz("07-monitor")

# %% [markdown]
# ## Recap
#
# - Save the labels, the tokenizer with the rules for texts, and the way inputs are made, together with the weights.
# - Compare every smaller variant with the original: first the labels, then the score.
# - Export with dynamic sizes, merge adapters first, and treat large channels when you quantize to int8.
# - Measure latency at a fixed rate of requests, and look at the slowest hundredth.
# - Watch the shares of the labels: they can show a change before any user complains.
#
# The last cell gives the number that `nbhelpers run` shows for this lesson in its table.

# %%
headline("int8, same labels", table.loc["int8", "same labels"])
