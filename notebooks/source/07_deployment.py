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
# Ann says: "You sold the car?" In the notebook, the model of lesson 6 called this turn *anger*. On a server, the same
# weights called it *surprise*. Nothing crashed, and no log contained an error. The server had only left out the names
# of the speakers. How do you turn a model into a service, and how do you notice such a silent error?
#
# After this lesson you can
#
# - turn a trained model into a small, fast folder, and measure how many of its predictions stay the same,
# - run it as a service, and measure how it behaves under load,
# - monitor it in production: notice when its predictions change because it receives other texts.
#
# You should know: how a model is trained and scored ([lesson 3](03_baseline.ipynb)), and how it reads a whole dialogue
# at once ([lesson 6](06_meld_context.ipynb)).
#
# <!-- facts -->
# Measured: default profile 3.2 min, 3.0 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | A folder that describes itself | 2 |
# | ONNX | 1 |
# | Eight bits | 2 |
# | What each variant gains and loses | 4 |
# | Your own sentence | 1 |
# | A service | 1 |
# | Under load | 6 |
# | Texts for a human | 1 |
# | Monitoring | 3 |
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
# This is how a text becomes probabilities. [Lesson 3](03_baseline.ipynb) explains each step. All six are blue, because
# a service does all of them. If it does one of them in another way than in training, its answers may be wrong.

# %%
from nbhelpers.course.lesson import check, diagrams, explore, headline, quiz, results

diagrams.path(["text", "tokens", "encoder", "pooling", "head", "softmax"])

# %%
import asyncio
import copy
import json
import re
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pandas as pd
import torch
from IPython.display import display

from nbhelpers import adapters, batching, corpora, dialogue, encoders, export, metrics, monitoring, plots, pruning
from nbhelpers.course import deploy, queueing

# %% [markdown]
# What can be set in this lesson:

# %% cellView="form" tags=["parameters"]
# @markdown A model folder of yours, saved as in this lesson; if empty, a small model is trained once and kept.
model_folder = ""  # @param {type: "string"}
# @markdown Train the small model on this many dialogues of each split; 0 uses all.
num_dialogues = 0  # @param {type: "integer"}
# @markdown Seconds of load at each rate of requests.
num_seconds = 3  # @param {type: "integer"}

# %% [markdown]
# ## A folder that describes itself
#
# The small model is that of lesson 6: one pass over a dialogue classifies every turn, and each turn sees earlier and
# later turns. It is trained the first time you run this cell, which takes some minutes, and is then kept.

# %%
progress_line = display({"text/plain": ""}, raw=True, display_id=True)


def show_progress(share):
    progress_line.update({"text/plain": f"{'#' * round(40 * share):<40} {share:4.0%}"}, raw=True)


folder = Path(model_folder) if model_folder else deploy.small_model(show_progress, num_dialogues)
tokenizer, model = encoders.load_trained(folder)
config = json.loads((folder / "config.json").read_text())
names, settings = list(config["id2label"].values()), config.get("settings", {})
{name: config.get(name) for name in ("id2label", "settings", "scores")}

# %% [markdown]
# Four things must be saved together with the weights: the names of the classes, the tokenizer, the rules by which texts
# were cleaned, and *how the inputs were made* (`settings`). The rules for texts are in the tokenizer:
# `corpora.normalizing_tokenizer` put them there (lesson 3).
#
# transformers saves every attribute of `model.config`. So one line is enough: `model.config.settings = {...}` before
# `save_pretrained`. (`scores` is for information only. Its temperature, which calibrates the model, is already in the
# weights of the last layer.)
#
# Load the corpus that the settings name. All comparisons use dev. The labels of test are not used in this lesson.

# %%
splits = corpora.load(settings["corpus"])
label = "emotion" if "emotion" in splits["train"].features else "label"
data = {split: part.to_pandas() for split, part in splits.items()}
if num_dialogues:
    for split, frame in data.items():
        first_dialogues = frame["dialogue_id"].unique()[:num_dialogues]
        data[split] = frame[frame["dialogue_id"].isin(first_dialogues)]

# %% [markdown]
# `dialogue.make_examples` makes the inputs as the settings say; here each dialogue is one input. `changes` is there to
# do it wrong on purpose:


# %%
def make_dataloader(frame, **changes):
    columns = {"dialogue_id": "dialogue_ids", "speaker": "speakers"}  # column -> argument of make_examples
    options = {argument: frame[column].tolist() for column, argument in columns.items() if column in frame}
    options |= {**dialogue.input_options(settings), **changes}
    examples = dialogue.make_examples(frame["text"].tolist(), tokenizer, **options)
    return batching.make_dataloader(examples, tokenizer.pad_token_id, max_tokens=4096, batch_size=32, shuffle=False)


dataloaders = {split: make_dataloader(data[split]) for split in ("train", "dev")}
{split: f"{len(each.dataset)} inputs, {len(data[split])} turns" for split, each in dataloaders.items()}

# %% [markdown]
# Here is Ann's question again, the first of three turns: once with the names of the speakers, as in training, and once
# without them.

# %%
car_texts, car_speakers = ["You sold the car?", "I did.", "Without asking me?"], ["Ann", "Bo", "Ann"]
car = pd.DataFrame({"dialogue_id": 0, "speaker": car_speakers, "text": car_texts})
torch_fn = export.make_logits_fn(model)  # a function from a batch to logits
ways = {"with names": make_dataloader(car), "without names": make_dataloader(car, speaker_format="none")}
first_turn = {way: export.predict(torch_fn, each)[0].softmax(-1).tolist() for way, each in ways.items()}
plots.class_probabilities(pd.DataFrame(first_turn, names).T)

# %% [markdown]
# How often does this happen? *Agreement* is the share of turns that keep their label. Each variant of the model in this
# lesson is compared with the original in this way.

# %%
dev_logits = {"torch": export.predict(torch_fn, dataloaders["dev"])}
without_names = export.predict(torch_fn, make_dataloader(data["dev"], speaker_format="none"))
agreement = export.agreement(dev_logits["torch"], without_names)
print(f"without names, {agreement['labels']:.1%} of the turns of dev keep their label")

# %% [markdown]
# The others get another label, and no error message tells you. (If you chose a model of single texts, it reads no
# names, so all labels stay.)
#
# ## ONNX
#
# ONNX is a file format for the computation itself: a graph of operations with their weights. Other programs can run it
# without Python and torch, often faster. `torch.onnx.export` follows example inputs through a model and writes down the
# operations. Try it on something small first, a head for vectors of 384 numbers. `dynamic_shapes` names the sizes that
# may change, here the first one, the number of vectors:

# %%
head = torch.nn.Sequential(torch.nn.Linear(384, len(names)), torch.nn.Softmax(-1))
vectors = (torch.randn(2, 384),)
with export.quiet():  # hides the exporter's notes on packages that no text model needs
    dynamic_shapes = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(head, vectors, dynamic_shapes=dynamic_shapes, dynamo=True, verbose=False)
program.save("head.onnx")
[node.op_type for node in program.model.graph]

# %% [markdown]
# The head has become two operations: `Gemm`, a product of matrices plus the bias, and `Softmax`. The library
# onnxruntime runs them. Are the probabilities those of torch? Ask for five vectors, although the example had two:

# %%
session = onnxruntime.InferenceSession("head.onnx")
five_vectors = torch.randn(5, 384)
(probabilities,) = session.run(None, {session.get_inputs()[0].name: five_vectors.numpy()})
print(f"largest difference: {np.abs(probabilities - head(five_vectors).detach().numpy()).max():.0e}")

# %% [markdown]
# A difference of about 1e-07 is the rounding of fp32. `export.export` does the same with the whole model. The sizes
# that may change are then the numbers of inputs, of tokens and of turns (`starts` and `ends` tell where each turn is).
# It also writes everything else that a service needs into the folder: the tokenizer, labels, settings, versions, and a
# *model card*, a short description for people:

# %%
is_dialogue_model = settings.get("context", "none") != "none"
export_options = {"dialogue": is_dialogue_model, "settings": settings}
export.export(model, tokenizer, "onnx", **export_options, scores=config.get("scores"))
_, onnx_model = export.load_exported("onnx")
print(Path("onnx/README.md").read_text().partition("## How to use it")[0])

# %% [markdown]
# ## Eight bits
#
# A weight in fp32 takes four bytes. *Quantization* rounds it to one of 255 steps, from -127 to 127, which takes one
# byte (*int8*). The size of a step is called the *scale*, and each row of a weight matrix has its own:

# %%
diagrams.rounding()

# %% [markdown]
# How much does this change a weight?


# %%
def round_to_8_bits(matrix):
    scale = np.abs(matrix).max(axis=1, keepdims=True) / 127  # one for each row
    return np.round(matrix / scale) * scale


first_linear = next(module for module in model.modules() if isinstance(module, torch.nn.Linear))
weights = first_linear.weight.detach().cpu().numpy()
change = np.abs(round_to_8_bits(weights) - weights).mean() / np.abs(weights).mean()
print(f"rounding changes a weight by {change:.1%} on average")

# %% [markdown]
# Weights tolerate this well. *Activations*, the numbers between the layers, are also rounded, and this is more
# difficult. A token has hundreds of them, one for each *channel*. In encoders, a few channels are many times larger
# than the rest. With one scale for all channels, only few steps are left for the small ones.
#
# *SmoothQuant* ([Xiao et al. 2022](https://arxiv.org/abs/2211.10438)) divides a large channel by a factor and
# multiplies the weights that read it by the same factor. The result of the product stays the same, and the rounding
# becomes finer. `export.quantize` finds the large channels with some training texts. (If it reports "7 bits used",
# 8-bit products can overflow on your CPU, so the weights use half of the steps.)

# %%
export.quantize(model, tokenizer, "int8", dataloaders["train"], **export_options)
_, int8_model = export.load_exported("int8")
print(f"weights: {int8_model.metadata['weights']}; {export.size_mib('int8') / export.size_mib('onnx'):.0%} of the size")

# %% [markdown]
# <details><summary>Why the answer of int8 depends a little on the other texts of its batch</summary>
#
# In most layers, all tokens of a batch share the scale of their activations. Where tokens differ much in size, each
# token has its own. So the probabilities of a text change a little with the other texts of its batch: on MELD's test
# set by up to 0.13 (the row "answers with other neighbours, int8" in `data/results/service.jsonl`).
# </details>
#
# ## What each variant gains and loses
#
# Blog posts recommend other ways to make a model smaller or faster. Here are three of them:
#
# - *pruned weights*: the smallest 30 % of the numbers become zero,
# - *pruned units*: a tenth of the hidden units of each feed-forward block is removed, so the matrices become smaller,
# - *bf16*: each number takes two bytes, with the range of fp32 and fewer digits.

# %%
smaller = {
    "30 % of weights zero": pruning.prune_weights(model, 0.3),
    "10 % of units gone": pruning.prune_units(model, 0.1),
    "bf16": copy.deepcopy(model).bfloat16(),
}
with encoders.quiet():
    for name, smaller_model in smaller.items():
        smaller_model.save_pretrained(name)
variants = {"torch": (torch_fn, folder), "onnx": (onnx_model, "onnx"), "int8": (int8_model, "int8")}
variants |= {name: (export.make_logits_fn(each), name) for name, each in smaller.items()}

# %% [markdown]
# Now compare each variant with the original. Items are turns here, *largest difference* is that of a probability, and
# the score is in percent. The two speeds are measured with 16 inputs only, and other programs on your machine disturb
# them.
#
# The order of the speeds depends on the CPU. Int8 is fast on a CPU with instructions for 8-bit products (VNNI, AMX). A
# CPU with AMX also has fast products of bf16, and there bf16 can be ahead of int8. On a CPU without such instructions,
# bf16 may be the slowest of all.

# %%
rows = {}
progress_line = display({"text/plain": ""}, raw=True, display_id=True)
for name, (logits_fn, weights_folder) in variants.items():
    if name not in dev_logits:
        dev_logits[name] = export.predict(logits_fn, dataloaders["dev"])
    agreed = export.agreement(dev_logits["torch"], dev_logits[name])
    scores = metrics.scores(data["dev"][label], dev_logits[name].argmax(-1).numpy(), len(names))
    rows[name] = {
        "MiB": export.size_mib(weights_folder),
        **export.speed(logits_fn, dataloaders["dev"], num_examples=16),
        "same labels": agreed["labels"],
        "largest difference": agreed["probability"],
        "weighted F1": 100 * scores["weighted_f1"],
    }
    show_progress(len(rows) / len(variants))
table = pd.DataFrame(rows).T
table.round(3)

# %% [markdown]
# Read the last three columns first. The predictions of ONNX are the same up to rounding. Int8 changes a few labels, and
# its score hardly moves; another seed would change it more. Zero weights make nothing smaller or faster, because a
# product of matrices multiplies zeros as well. A tenth of these units is less than a tenth of the work, so do not
# believe a large gain in speed there. Look at the labels: such a model must be trained for another epoch.
#
# **Exercise.** How many times smaller are the weights of int8 than those of *torch*? `table` is the table above.

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
# A rule prevents accidents: a variant is refused if it keeps less than 98 % of the labels. One command exports,
# quantizes, makes such a table and applies this rule: `nbhelpers export my_model --to onnx --quantize int8`.

# %%
is_refused = table["same labels"] < export.MIN_AGREEMENT
chosen = "onnx" if is_refused["int8"] else "int8"
chosen_model = variants[chosen][0]
print(f"refused: {', '.join(table.index[is_refused]) or 'none'}; used from here on: {chosen}")

# %% [markdown]
# How much does int8 matter in a service? This was measured with MELD and a model of single turns
# (`tests/benchmarks/service.py`). The last two rows are the time from a request to its answer: half of the requests
# were faster than the median, and 99 of 100 were faster than "99 %". Compare what is lost in the first row with what is
# gained in the others.

# %%
measured = {row["row"]: row for row in results.read("service")}  # of each row the last measurement
published = {
    variant: {
        "weighted F1 on test": measured[f"quality on test, {variant}"]["weighted_f1"],
        "one text, ms": measured[f"batch 1, {variant}"]["model_alone_median_ms"],
        "50 requests per second, median, ms": measured[f"50 requests a second, {variant}"]["median_ms"],
        "50 requests per second, 99 %, ms": measured[f"50 requests a second, {variant}"]["p99_ms"],
    }
    for variant in ("onnx", "int8")
}
print("on", measured["size"]["device"])
pd.DataFrame(published).round(1)

# %% [markdown]
# ## Your own sentence
#
# Ask the original and the exported model about a sentence of your own. Type it, and press Enter. It is read as a
# dialogue of one turn, so there is no context.


# %%
def single_texts(texts):
    return pd.DataFrame({"dialogue_id": range(len(texts)), "speaker": "Ann", "text": texts})


def answer(text):
    dataloader = make_dataloader(single_texts([text]))
    models = {"original": torch_fn, chosen: chosen_model}
    rows = {name: export.predict(logits_fn, dataloader)[0].softmax(-1).tolist() for name, logits_fn in models.items()}
    return plots.class_probabilities(pd.DataFrame(rows, names).T)


explore(answer, text="I got the job!")

# %% [markdown]
# Can you find a sentence on which the two bars of a class differ clearly?
#
# ## A service
#
# `nbhelpers serve` loads such a folder, tests it, and answers requests over HTTP. A request takes this path:

# %%
diagrams.request()

# %% [markdown]
# Here the service runs in a process of its own:

# %%
command = [sys.executable, "-m", "nbhelpers.course.cli", "serve", chosen, "--port", "0"]
with open("service.log", "w") as log:
    service = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
lines = [service.stdout.readline(), service.stdout.readline()]
address = re.search(r"http://\S+", lines[-1])[0]
print(re.sub(r":\d{4,5}\b", ":8000", "".join(lines)))  # the real port differs from run to run

# %% [markdown]
# Send it the dialogue of Ann and Bo. For each turn it returns the three most probable labels. This model is small and
# was trained for minutes, so expect wrong labels. But the service must return the *same* probabilities as the exported
# model here in the notebook. Then it makes its inputs in the right way.

# %%
turns = [{"speaker": speaker, "text": text} for speaker, text in zip(car_speakers, car_texts, strict=True)]
response = httpx.post(f"{address}/classify/dialogue", json={"turns": turns, "top_k": 3}).json()
for turn, result in zip(turns, response["results"], strict=True):
    print(f"{turn['text']:<20}", {each["label"]: round(each["score"], 2) for each in result["scores"]})
top = response["results"][0]["scores"][0]
in_notebook = export.predict(chosen_model, ways["with names"])[0].softmax(-1)[names.index(top["label"])]
print(f"difference from the notebook: {abs(top['score'] - in_notebook):.0e}")

# %% [markdown]
# The service also has a page for people, at its address, where you can type a dialogue.
#
# A service receives requests that nobody planned for. Each of these is refused with the HTTP status 422 and one
# sentence, and the service goes on:

# %%
bad_requests = {"nothing": {"texts": []}, "a number": {"texts": [7]}, "a typo": {"text": ["a"]}}
bad_requests["too long"] = {"texts": ["a" * 3000]}
for name, request in bad_requests.items():
    response = httpx.post(f"{address}/classify", json=request)
    print(f"{name}: {response.status_code}, {response.json()['error']}")

# %% [markdown]
# ## Under load
#
# *Latency* is the time from a request to its answer. One request alone is fast. But users do not wait for each other:
# when requests come faster than the service can answer, they queue. How many requests per second can this service
# answer?
#
# Requests that wait at the same time are computed together, as one *batch*. So first measure how long the model takes
# for batches of different sizes. The texts are of similar length, because the service groups them by length:

# %%
texts = data["dev"]["text"].tolist()
middle = max(0, len(texts) // 2 - 16)
similar_texts = sorted(texts, key=len)[middle : middle + 32]


def seconds_for(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def compute(size):
    return export.predict(chosen_model, make_dataloader(single_texts(similar_texts[:size])))


# %%
model_seconds = {size: statistics.median(seconds_for(compute, size) for _ in range(7)) for size in (1, 2, 4, 8, 16, 32)}

# %% [markdown]
# A request also needs time for HTTP, checks and JSON. Measure 50 requests, and subtract the time of one text:


# %%
def send_one():
    client.post("/classify", json={"texts": similar_texts[:1]})


with httpx.Client(base_url=address) as client:
    one_request = statistics.median([seconds_for(send_one) for _ in range(50)])
overhead = max(0, one_request - model_seconds[1])
print(f"one request: {1000 * one_request:.1f} ms, of which the model takes {1000 * model_seconds[1]:.1f} ms")

# %%
batch_seconds = {size: seconds + size * overhead for size, seconds in model_seconds.items()}
columns = {"milliseconds": {size: 1000 * seconds for size, seconds in batch_seconds.items()}}
columns["requests per second"] = {size: size / seconds for size, seconds in batch_seconds.items()}
pd.DataFrame(columns).rename_axis("texts in a batch").round(1)

# %% [markdown]
# The last column is the *capacity* with batches of this size: at a higher rate of requests, the queue becomes longer
# and longer. How much do batches raise it? On a GPU, 32 short texts often take hardly longer than one. On a few CPU
# cores the gain is smaller, because one text already keeps them busy.
#
# **Exercise.** Suppose that each request has one text, and that the service computes at most 8 texts in a batch. How
# many requests per second can it answer? Use `batch_seconds`, a dictionary from the number of texts in a batch to the
# seconds that the batch takes.

# %%
capacity_of_8 = None  # your answer
check("07-capacity", capacity_of_8, batch_seconds)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# capacity_of_8 = 8 / batch_seconds[8]
# ```
# </details>
#
# ### What happens near the capacity
#
# Before you put load on the real service, try a **simulation** of it. Requests arrive at random moments. One worker
# computes them in batches, which take the times of the table above. Nothing is sent and no model runs, so you see the
# result at once. Watch the 99 % line and not only the median: one of a hundred requests takes even longer.
#
# The picture starts with batches of one text, at a rate above their capacity. Predict first, then move the controls:
#
# 1. Raise `largest batch` to 2, 4, 32. Does the latency stop growing, and at which size?
# 2. With batches of 32, lower the rate, and then raise it slowly. Which line rises first, the median or that of 99 %?
# 3. Lower the rate to 1 and raise `wait ms`, the time for which an idle service waits for further requests. Does it
# help?

# %%
capacity = {size: queueing.capacity(batch_seconds, size) for size in batch_seconds}
first_rate, fastest = int(1.2 * capacity[1]), int(2 * capacity[32])


# %%
def queue(requests_per_second=first_rate, largest_batch=1, wait_ms=0):
    arrived, latency, _ = queueing.simulate(
        requests_per_second, batch_seconds, batch_size=largest_batch, delay=wait_ms / 1000
    )
    median, slowest = np.quantile(1000 * latency, [0.5, 0.99])
    words = f"Capacity: {capacity[largest_batch]:.0f} requests per second. "
    words += f"Simulated latency: median {median:,.1f} ms, 99 % {slowest:,.1f} ms."
    seconds = pd.Series(1000 * latency).groupby(arrived.astype(int))
    frame = pd.DataFrame({"median": seconds.median(), "99 %": seconds.quantile(0.99)})
    return [
        words,
        plots.run_curves(frame.rename_axis("second of arrival"), "milliseconds", over="20 simulated seconds"),
    ]


explore(queue, requests_per_second=(1, fastest), largest_batch=[1, 2, 4, 8, 16, 32], wait_ms=(0, 50, 5))

# %% [markdown]
# Far below the capacity, the latency stays low. Near it, the 99 % line rises first. Above it, both grow for as long as
# the load lasts. Waiting makes single requests slower, and a busy service does not need it: while it computes one
# batch, the next one gathers. So `nbhelpers serve` does not wait.
#
# ### The real service
#
# Now the same with real requests, at a quarter, a half and three quarters of the estimated capacity, and at twice the
# capacity. Each request is *due* at a random moment, whether earlier ones are answered or not. Its clock starts then,
# even if it must first wait for one of the 64 connections. (A loop that waits for each answer before it sends the next
# request slows down together with the service, and so hides the waiting time.)


# %%
async def send_request(client, free_connections, text, due):
    await asyncio.sleep(max(0, due - time.perf_counter()))
    try:
        async with free_connections:  # waiting here costs nothing; waiting inside of httpx would slow the client down
            response = await client.post("/classify", json={"texts": [text]})
    except httpx.TransportError:
        return float("nan")
    return 1000 * (time.perf_counter() - due) if response.status_code == 200 else float("nan")  # milliseconds


# %%
async def send_at_rate(rate, seconds=num_seconds):
    free_connections = asyncio.Semaphore(64)
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        dues = time.perf_counter() + 0.1 + queueing.arrivals(rate, seconds)
        requests = [send_request(client, free_connections, texts[i % len(texts)], due) for i, due in enumerate(dues)]
        return await asyncio.gather(*requests)


# %% [markdown]
# The first requests to a new service are slower, so one second of load warms it up and is not counted. At the lowest
# rate there are few requests, so the 99 % line is uncertain there.

# %%
await send_at_rate(20, seconds=1)
rates = [max(1, round(share * capacity[32])) for share in (0.25, 0.5, 0.75, 2)]
latencies = {rate: await send_at_rate(rate) for rate in rates}
quantiles = {"median": 0.5, "99 %": 0.99}
measured_ms = pd.DataFrame(
    {name: {rate: np.nanquantile(ms, q) for rate, ms in latencies.items()} for name, q in quantiles.items()}
)
plots.run_curves(measured_ms.rename_axis("requests per second"), "milliseconds to an answer", over="load")

# %% [markdown]
# As long as the service keeps up, the lines are near the bottom of the picture. Where they rise, its real capacity is
# reached. Is this earlier than estimated? Compare the simulation with the real service at each rate:

# %%
comparison = {}
for name, q in quantiles.items():
    comparison[f"{name}, measured"] = measured_ms[name]
    comparison[f"{name}, simulated"] = {
        rate: 1000 * np.quantile(queueing.simulate(rate, batch_seconds, seconds=num_seconds).latency, q)
        for rate in rates
    }
comparison["requests"] = {rate: len(ms) for rate, ms in latencies.items()}
comparison["not answered"] = {rate: np.isnan(ms).sum() for rate, ms in latencies.items()}
pd.DataFrame(comparison).rename_axis("requests per second").round(1)

# %% [markdown]
# All times are in milliseconds. The simulation shows that the latency leaps, but its numbers may be far too low: some
# texts are long, and the client that sends the requests uses the same cores. Use the simulation to understand, and the
# real service to decide.
#
# The service counts how often it gave each label and each HTTP status (200 is an answer), in the format that the
# monitoring program Prometheus reads:

# %%
counts = httpx.get(f"{address}/metrics").text
print("\n".join(line for line in counts.splitlines() if re.match(r"(http_requests|nbhelpers_predictions)_total", line)))

# %% [markdown]
# To stop a service, send it the signal SIGTERM, as Docker and Kubernetes do. It accepts no new requests, answers those
# that it has, and ends. Its log has a line for each request:

# %%
service.terminate()  # sends SIGTERM
service.wait(timeout=10)
print("ended; lines in its log:", len(Path("service.log").read_text().splitlines()))

# %% [markdown]
# <details><summary>More processes, more machines</summary>
#
# *One machine*: `nbhelpers serve onnx --workers 4` runs four processes behind one address, and replaces one that dies.
# Each process loads the model and gets its share of the cores. Several workers help when requests are many and small. A
# single one already uses all cores for a batch.
#
# *More machines*: give the same folder to a platform that starts copies of the service, checks `/ready` and sends
# SIGTERM. This can be a container with `nbhelpers serve /model --host 0.0.0.0`, or Ray Serve (`deploy/ray_serve.py`).
# Encryption (TLS) and limits per client belong in the proxy in front of it. `NBHELPERS_API_KEY` sets a key that clients
# must send.
# </details>
#
# ## Texts for a human
#
# A service need not answer everything. The *confidence* of an answer is the probability of its label. If it is low,
# hand the text to a human. How many texts would that be, and how good are the other answers? Estimate both on dev. Look
# for a threshold at which enough answers are right for your purpose, and enough texts are answered.

# %%
confidence = dev_logits[chosen].softmax(-1).amax(-1).numpy()
is_right = dev_logits[chosen].argmax(-1).numpy() == data["dev"][label].to_numpy()
thresholds = [percent for percent in range(0, 100, 5) if confidence.max() >= percent / 100]
is_sure = {percent: confidence >= percent / 100 for percent in thresholds}
lines = {
    percent: {"answered": sure.mean(), "of these right": is_right[sure].mean()} for percent, sure in is_sure.items()
}
shares = 100 * pd.DataFrame(lines).T.rename_axis("unsure below (%)")


# %%
def hand_over(unsure_below=50):
    answered, right = shares.loc[unsure_below]
    words = f"Below {unsure_below} %, a human answers: {100 - answered:.0f} % of the texts. "
    words += f"Of the others, {right:.0f} % are right; without a human, {shares.iloc[0, 1]:.0f} %."
    return [words, plots.run_curves(shares, "percent of texts", over="the threshold")]


explore(hand_over, unsure_below=(0, thresholds[-1], 5))

# %% [markdown]
# This works only as far as the confidence can be trusted, so calibrate the model first (lesson 3); this one is
# calibrated. On new texts expect a little less, because the epoch and the temperature were also chosen on dev.
#
# ## Monitoring
#
# A service that answers every request may still be wrong. Users change, a new client sends another language, or a bug
# elsewhere empties half of the texts. Labels to compare with come late or never. But you can watch the predictions at
# once: the share of each label, and the share of *unsure* predictions, those with a confidence below 0.5.
#
# The reference is what the model predicts on dev. (The gold labels of dev would be a wrong reference, because their
# shares differ from those of the predictions.)


# %%
def labels_and_confidences(logits):
    probabilities = logits.softmax(-1)
    return [names[i] for i in probabilities.argmax(-1)], probabilities.amax(-1).tolist()


reference = labels_and_confidences(dev_logits[chosen])
pd.Series(reference[0]).value_counts(normalize=True).round(3)

# %% [markdown]
# `monitoring.Monitor` looks at the most recent predictions, its *window*. It reports a share that leaves the interval
# that chance explains. It checks every class again and again, so the intervals are wide: on average, at most one false
# alarm comes in a hundred windows. The turns of a dialogue resemble each other, so their shares vary more than those of
# single texts. `groups` tells the monitor which turns belong together.
#
# First product reviews, for which this model was never meant. Does the monitor notice? (Here the window is as large as
# the shortest stream, at most 200.)

# %%
reviews = single_texts(corpora.load("reviews")["dev"]["text"][:])
streams = {"product reviews": reviews, "new dialogues": data["test"]}
window = min(200, *map(len, streams.values()))
summaries, groups = {}, data["dev"].get("dialogue_id")  # None for a corpus without dialogues


# %%
def watch(name):
    monitor = monitoring.Monitor(*reference, names, window=window, groups=groups)
    logits = export.predict(chosen_model, make_dataloader(streams[name]))
    alerts = monitor.update(*labels_and_confidences(logits))
    summaries[name] = monitor.summary()
    print("\n".join(alerts) or "no alarm")


watch("product reviews")

# %% [markdown]
# Now new dialogues of the same kind, the texts of test. (Their labels are not used.) Nothing has changed, so any alarm
# is a *false alarm*. In a long stream this is not rare: the first line says how probable it can be.

# %%
num_windows = len(streams["new dialogues"]) / window
print(f"{num_windows:.1f} windows: up to {min(1, 0.01 * num_windows):.0%} of such streams give a false alarm")
watch("new dialogues")
pd.DataFrame(summaries).T.round(4)

# %% [markdown]
# How do you tell a false alarm from a real one? Look at how far the share is outside of its interval. Then look at the
# table, which describes the last window only: after a false alarm, it mostly looks normal again. *Divergence* measures
# how much the shares of labels differ from the reference (0: not at all), and the p-value tells whether chance explains
# it. In few texts the labels may not show a change, so also compare *unsure*.
#
# An alarm does not say what has changed. Read twenty of the texts; this often shows the reason. On the other hand, no
# alarm proves little: a model can become worse while the shares of its labels look the same. So label a small random
# sample every month, and compute the score again. In production the counts come from `/metrics`:
# `nbhelpers_predictions_total` and `nbhelpers_confidence`.
#
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
# `torch.save` would work. But `from_pretrained` builds the model without the quantized layers, and cannot load the
# weights into it.
#
# ### Only one input size
#
# Without `dynamic_shapes`, the graph accepts the size of the example inputs and no other. The small head shows it: its
# example had two vectors, and here are five.

# %%
with export.quiet():
    torch.onnx.export(head, vectors, dynamo=True, verbose=False).save("fixed.onnx")
session = onnxruntime.InferenceSession("fixed.onnx")
try:
    session.run(None, {session.get_inputs()[0].name: five_vectors.numpy()})
except Exception as error:
    print(str(error).split(" : ", 2)[-1].strip())

# %% [markdown]
# Many people then pad every text to one size. From then on, the model mostly computes padding.
#
# ### An adapter that was never merged
#
# The folder of an adapter does not contain the encoder, and a model with an adapter computes more in each adapted
# layer. So merge the adapter first ([lesson 4](04_lora.ipynb)). Otherwise `export` refuses the model:

# %%
warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # peft 0.21 uses a name that transformers will remove
try:
    export.export(adapters.lora(encoders.load_trained(folder)[1]), tokenizer, "adapter")
except export.ExportError as error:
    print(error)

# %% [markdown]
# ### Eight bits with the default options
#
# This is onnxruntime's quantization in one line, for the same graph: without SmoothQuant, and with one scale for a
# whole matrix of weights. Compare its agreement with that of int8 above:

# %%
from onnxruntime.quantization import quantize_dynamic

with export.quiet():
    quantize_dynamic("onnx/model.onnx", "plain_int8.onnx", op_types_to_quantize=["MatMul"])
plain_int8 = export.OnnxModel(onnxruntime.InferenceSession("plain_int8.onnx"), onnx_model.metadata)
agreement = export.agreement(dev_logits["torch"], export.predict(plain_int8, dataloaders["dev"]))
print(f"equal labels: {agreement['labels']:.1%} (int8 above: {table.loc['int8', 'same labels']:.1%})")

# %% [markdown]
# ## Exercises
#
# Two exercises were above; here are two more. A wrong answer gets a hint, which grows with each try.
#
# **Round a row of weights to 8 bits.** The weight with the largest absolute value becomes 127 or -127, and all others
# are rounded to the nearest step. Return the steps as a list of whole numbers: for `[0.5, -1.27]` it is `[50, -127]`. A
# row of zeros stays zeros.


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
# **Measure a change.** The *population stability index* (PSI) tells how much a distribution has changed. It sums
# `(p - q) * ln(p / q)` over the classes, where `p` is the share of a class now and `q` its share before. Write it for
# two lists of *counts*. Raise counts below 0.5 to 0.5 first, and then divide by the sum of the new counts. For
# `[50, 50]` now and `[90, 10]` before, it is 0.879.


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
# def floored_shares(counts):
#     counts = [max(n, 0.5) for n in counts]
#     return [n / sum(counts) for n in counts]
#
#
# def psi(now, before):
#     return sum((p - q) * math.log(p / q) for p, q in zip(floored_shares(now), floored_shares(before)))
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
# - Compare every variant with the original: first the labels, then the score.
# - Export with dynamic sizes, merge adapters first, and treat large channels when you quantize to int8.
# - Measure latency at a given rate of requests, and look at the slowest hundredth. Above the capacity it only grows.
# - Watch the shares of the labels: they can show a change before any user complains.
#
# This was the last lesson. Now use your own data: [`docs/own_data.md`](../docs/own_data.md) shows how to train, export
# and serve a model for your own file.
#
# The last cell gives the number that `nbhelpers run` shows for this lesson in its table.

# %%
headline("int8, same labels", table.loc["int8", "same labels"])
