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
# # 17. Scale out: several processes, several machines
#
# A team has a script that trains a good classifier on one GPU. They rent a machine with eight GPUs, and start the same
# script there. It is done sooner, but the score is lower. Nobody has changed a setting. Or so they think: each GPU now
# reads a batch of its own for every update, so the batch is eight times as large, and an epoch has an eighth of the
# updates. What else changes when several processes or machines share the work? And when do you need them at all?
#
# After this lesson you can
#
# - say which of four problems you have when one machine is not enough, and what more machines bring for it,
# - train one model in several processes, and show that the result is that of one process,
# - estimate what the processes send to each other, what each device holds in memory, and what the machines cost,
# - choose the right file for Ray, and say what is lost when a machine dies.
#
# You should know batches, gradients and AdamW ([lesson 3](03_baseline.ipynb)), and what a service is ([lesson
# 7](07_deployment.ipynb)).
#
# <!-- facts -->
# Measured: default profile 1.1 min, 3.1 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | Which problem do you have? | 2 |
# | One gradient from two halves | 3 |
# | All-reduce: what goes over the wire | 3 |
# | Two processes, one model | 5 |
# | Learning rate and batch size | 3 |
# | What each device holds | 2 |
# | Beyond one machine: Ray | 3 |
# | What does it cost? | 1 |
# | What goes wrong | 5 |
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
# Four kinds of work outgrow one machine. The picture divides three of them among three processes; requests to a service
# are divided like rows. A *process* is a running program with its own memory. On a machine with several GPUs, one
# starts one process for each GPU:

# %%
from nbhelpers.course.lesson import check, diagrams, explore, headline, load_splits, quiz, results

diagrams.three_loads()

# %%
import heapq
import inspect
import json
import math
import os
import signal
import sys
import tempfile
from pathlib import Path

# %%
import numpy as np
import pandas as pd
import torch
import transformers
from accelerate.data_loader import BatchSamplerShard
from safetensors.torch import load_file
from sklearn.feature_extraction.text import TfidfVectorizer
from torch.nn.functional import cross_entropy
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler

from nbhelpers import baselines, batching, corpora, encoders, environment, objectives, plots, training
from nbhelpers.classifier import ClassifierError, processes

transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show
transformers.utils.logging.set_verbosity_error()  # no notes about the time stamps of checkpoints

# %% [markdown]
# What can be set in this lesson:

# %% cellView="form" tags=["parameters"]
# @markdown "intents", "topics", "reviews" or "dialogues" (included), "meld", or a file or folder with text and label.
corpus = "intents"  # @param {type: "string"}
# @markdown The column with the texts; if empty, it is found by its name or its content.
text = ""  # @param {type: "string"}
# @markdown The column with the labels; if empty, it is found by its name or its content.
label = ""  # @param {type: "string"}
# @markdown Of dialogues: the column with the name or number of the dialogue; if empty, it is found by its name.
dialogue = ""  # @param {type: "string"}
# @markdown "embedded", a local folder, or a name on the Hub such as "roberta-base". It is trained on CPUs here.
encoder = "embedded"  # @param {type: "string"}
# @markdown Train the encoder on this many texts.
num_trained = 128  # @param {type: "integer"}
# @markdown Number of passes over these texts, at least 2.
num_epochs = 3  # @param {type: "integer"}
# @markdown Peak learning rate of the encoder (the head has ten times as much).
lr = 2e-4  # @param {type: "number"}
# @markdown Number of texts in a batch, over all processes together.
batch_size = 16  # @param {type: "integer"}
# @markdown Longer texts are truncated to this many tokens.
max_length = 64  # @param {type: "integer"}
# @markdown For all other trainings, use only this many rows of each split, spread over it; 0 uses all.
num_rows = 800  # @param {type: "integer"}
# @markdown Your price for one machine and one hour, in euros; with 1.0, euros are hours of machines.
euros_per_machine_hour = 1.0  # @param {type: "number"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# ## Which problem do you have?
#
# First see how far one machine gets. `data/results` has the measurements of this course, and the next cell reads four
# of them. All were made with the embedded encoder on machines with two cores.


# %%
def stored(table, row):
    return {entry["row"]: entry for entry in results.read(table)}[row]  # the last one of this name


# %%
rows_per_second = stored("predicting", "10,000 rows")["texts_per_second"]
requests_per_second = stored("service", "64 clients, int8")["requests_per_second"]
trained_per_second = stored("throughput", "this course's Trainer, bf16")["examples_per_second"]
trial_seconds = np.mean([run["seconds"] for run in results.runs("meld", "utterance only")])

# %%
work = pd.Series(
    {
        "classify a billion rows": 1e9 / rows_per_second,
        "1,000 trials of a search on MELD": 1000 * trial_seconds,
        "train on a billion rows, one epoch": 1e9 / trained_per_second,
    }
)

# %%
table = pd.DataFrame({"days on one machine": work / 86_400, "hours on 100, if nothing is lost": work / 3600 / 100})
table.assign(processes=["exchange nothing", "exchange nothing", "exchange gradients at every update"]).round(1)

# %% [markdown]
# One machine needs days for each line. Look at the last column. Rows do not need each other, nor do the trials of a
# grid or a random search, so a hundred machines need about a hundredth of the time: put a part of the work on each, and
# collect the results. In the last line the division by 100 is optimistic. After every update, all processes must have
# the same weights again, and this costs time. So first find out which problem you have:
#
# | too much of | what to do | what it needs | where |
# |---|---|---|---|
# | rows to classify | divide the files | machines that exchange nothing | `deploy/ray_data.py` |
# | requests | more copies of the service | a proxy in front | [lesson 7](07_deployment.ipynb), `deploy/ray_serve.py` |
# | trials | one trial on each machine | the same | [lesson 11](11_search.ipynb), `deploy/ray_tune.py` |
# | time for one training | data-parallel training | a fast network | this lesson, `deploy/ray_train.py` |
#
# Only the last line needs most of this lesson. And before you train on a billion rows, train on a million that are
# drawn at random, with all rows of the rare classes, and then on two million. If the score stays the same, more rows
# bring little.
#
# ## One gradient from two halves
#
# In *data-parallel training*, each process has the whole model and a share of every batch. torch calls it *DDP*
# (DistributedDataParallel), and the number of a process its *rank*. Ranks are counted from 0, so process 1 in the
# picture has rank 0. One update goes like this:

# %%
diagrams.data_parallel()

# %% [markdown]
# Why is the result that of one process? Because a gradient is a sum over the texts of a batch, and it does not matter
# in which order one adds up. Try it with a tiny model: one layer, six inputs, and two "processes" that get three inputs
# each. `gradient` divides the sum of the losses by a number that you give:

# %%
environment.set_seed(seed)
tiny = torch.nn.Linear(4, 3)  # from four numbers to three classes
inputs, labels = torch.randn(6, 4), torch.tensor([0, 2, 1, 1, 0, 2])
first, second, both = slice(0, 3), slice(3, 6), slice(0, 6)


# %%
def gradient(part, divisor):
    loss = cross_entropy(tiny(inputs[part]), labels[part], reduction="sum") / divisor
    return torch.autograd.grad(loss, tiny.weight)[0]  # [classes, inputs]


# %%
of_one_process = gradient(both, 6)
of_two = gradient(first, 6) + gradient(second, 6)
print(f"largest number in the gradient: {of_one_process.abs().max():.2f}")
print(f"largest difference between one process and two: {(of_one_process - of_two).abs().max():.0e}")

# %% [markdown]
# The difference is zero, or about 1e-08. That is *rounding*: numbers with seven digits, added in another order.
#
# (A loss that compares the texts of a batch, as in [lesson 15](15_search_alerts.ipynb), is no such sum.)
#
# ### The mean of two means
#
# Usually each process computes the *mean* of its own losses, and DDP averages the gradients over the processes. With
# equal shares this is right. But often not all texts count: there are turns without a label, and later pieces of a word
# ([lesson 12](12_entities.ipynb)), and the last batch of an epoch may be odd. Take the label from two inputs of the
# second process:

# %%
labels[4:] = -100  # torch's mark for "no label"; the loss leaves these inputs out
of_one_process = gradient(both, 4)
ways = {
    "mean of the two means": (gradient(first, 3) + gradient(second, 1)) / 2,
    "sum, divided by all labels": gradient(first, 4) + gradient(second, 4),
}

# %%
table = pd.DataFrame({"largest difference": {way: (of_one_process - g).abs().max().item() for way, g in ways.items()}})
table.assign(first=["1/6", "1/4"], second=["1/2", "1/4"]).map(lambda x: f"{x:.0e}" if isinstance(x, float) else x)

# %% [markdown]
# The last two columns say how much a labeled input of the first and of the second process counts. In the first line,
# the only label of the second process counts three times as much as each label of the first, and the gradient is far
# off. There is no error, and the loss still falls. The second line is right: count the labels of *all* processes first,
# and divide by this number. DDP then divides by the number of processes, because it averages. So multiply by that
# number before: `loss = sum_of_losses * num_processes / all_labels`.
#
# [Goyal et al. 2017](https://arxiv.org/abs/1706.02677) name the wrong divisor among the pitfalls. transformers' Trainer
# can count the labels of all devices since [a change in 2024](https://github.com/huggingface/transformers/pull/34373),
# and further below you will see what is still wrong with it. The course's Trainer counts over all processes.
#
# **Exercise.** Each process reports the mean loss of its labeled texts and how many these are; a process without any
# reports 0.0 and 0. Compute the mean over all labeled texts. If no text has a label, return 0.


# %%
def mean_over_processes(means, counts):
    return None  # your code


check("17-mean", mean_over_processes)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def mean_over_processes(means, counts):
#     return sum(mean * count for mean, count in zip(means, counts)) / max(1, sum(counts))
# ```
# </details>
#
# ## All-reduce: what goes over the wire
#
# The operation that adds up the gradients of all processes, and gives the sum to all, is called *all-reduce*. The
# simplest way would be to send everything to one process, but then this one gets all the traffic. A *ring* shares it
# evenly. Each process divides its numbers into as many parts as there are processes, and always sends to the same
# neighbor. In the first step, each process sends a different part. In each further step, it sends the part that it has
# just received, with its own number added. After n - 1 steps, each has one complete sum. In the other n - 1 steps,
# these sums travel on as they are:

# %%
diagrams.ring()


# %%
def ring_all_reduce(numbers):  # numbers[process][part]
    n = len(numbers)
    for step in range(2 * (n - 1)):
        sent = [numbers[process][(process - step) % n] for process in range(n)]
        for process in range(n):
            part = (process - 1 - step) % n  # which part the process before this one has sent
            added = numbers[process][part] if step < n - 1 else 0  # first sums, then copies of the sums
            numbers[process][part] = sent[process - 1] + added
    return numbers


# %%
ring_all_reduce([[1, 2, 3], [10, 20, 30], [100, 200, 300]])

# %% [markdown]
# All three have all sums. With n processes, each has sent 2 (n - 1) parts, and a part is 1/n of its numbers. So each
# sends 2 (n - 1) / n times its gradients: as much as it has with two processes, and less than twice as much with a
# hundred. A gradient in fp32 has four bytes, and there is one for each trained weight.
#
# How long does it take here? The next cells start two processes that do nothing but add up as many numbers as the
# encoder has weights. `processes.run` starts a program several times, and tells each by the environment variables
# `RANK` and `WORLD_SIZE` who it is. The command `torchrun` does the same.

# %%
folder = tempfile.TemporaryDirectory()  # for all files of this lesson; the last cell removes it
here = Path(folder.name)


# %%
def start(count, script, *arguments):
    (here / "script.py").write_text(script)
    command = [sys.executable, str(here / "script.py"), *map(str, arguments)]
    with (here / "log.txt").open("w") as log:
        code = processes.run(command, count, log=log)
    if code:
        raise ClassifierError((here / "log.txt").read_text()[-2000:])


# %%
adds_up = """
import json, sys, time, torch
from torch import distributed

distributed.init_process_group("gloo")  # torch's library for CPUs; for GPUs of NVIDIA it is "nccl"
gradients, seconds = torch.ones(int(sys.argv[1])), []
for _ in range(7):
    begin = time.perf_counter()
    distributed.all_reduce(gradients)
    seconds.append(time.perf_counter() - begin)
if distributed.get_rank() == 0:
    open(sys.argv[2], "w").write(json.dumps(sorted(seconds)[3]))  # the median
distributed.destroy_process_group()
"""

# %%
data = load_splits(corpus, num_rows, text=text, label=label, dialogue=dialogue, seed=seed)
names = data["train"].features["label"].names
tokenizer, model = encoders.load(encoder, names)
num_parameters = sum(parameter.numel() for parameter in model.parameters())

# %%
start(2, adds_up, num_parameters, here / "seconds.json")
exchange_seconds = json.loads((here / "seconds.json").read_text())
print(f"{num_parameters / 1e6:.1f} million gradients are {4 * num_parameters / 1e6:.0f} MB")
print(f"all-reduce between two processes on this machine: {1000 * exchange_seconds:.0f} ms")

# %% [markdown]
# Inside a machine, GPUs exchange over PCIe or NVLink, which is far faster than most networks. Between machines, the
# network decides. The table compares some networks with the time of an update. It starts with that of roberta-large,
# measured on one H200 GPU (`gpu.jsonl`, 32 texts of 128 tokens, bf16). Set the first and the third slider to your
# model: which network does it need?

# %%
step_ms = round(stored("gpu", "roberta-large, texts of 128 tokens")["step_ms"])


def networks(million_parameters=355, number_of_processes=2, ms_for_an_update=step_ms):
    sent = 2 * (number_of_processes - 1) / number_of_processes * 4e6 * million_parameters  # bytes, from each
    table = pd.DataFrame(index=pd.Index([1, 10, 25, 100, 400], name="gigabits per second"))
    table["ms for the gradients"] = 8 * sent / (table.index * 1e9) * 1000
    table["times an update"] = table["ms for the gradients"] / ms_for_an_update
    return [f"Each process sends {sent / 1e9:.2f} GB for each update.", table.round(1)]


# %%
explore(networks, million_parameters=(20, 3000, 5), number_of_processes=(2, 64), ms_for_an_update=(5, 2000, 5))

# %% [markdown]
# A 14 in the last column means that the exchange takes as long as 14 updates. Where it is far above 1, the processes
# mostly wait. DDP hides a part of it: it sends the gradients of the last layers while those of the first are still
# being computed. So an update takes at least as long as the slower of both. Four things help: a faster network,
# gradient accumulation (an exchange only after several batches), gradients that are sent in bf16 (torch's
# `bf16_compress_hook`), and LoRA ([lesson 4](04_lora.ipynb)), which trains and sends only a few percent of the weights.
#
# **Exercise.** Write the column "ms for the gradients" as a function, but in seconds: how long are the gradients on the
# way that each process sends in a ring, in fp32?


# %%
def seconds_on_the_way(million_parameters, num_processes, gigabits_per_second):
    return None  # your code


check("17-exchange", seconds_on_the_way)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def seconds_on_the_way(million_parameters, num_processes, gigabits_per_second):
#     sent = 2 * (num_processes - 1) / num_processes * 4e6 * million_parameters  # bytes
#     return 8 * sent / (gigabits_per_second * 1e9)
# ```
# </details>
#
# ## Two processes, one model
#
# Now the real thing. This function trains an encoder as in [lesson 3](03_baseline.ipynb). Read it and look for the
# place where it divides the work:


# %%
def train(task):
    environment.set_seed(task["seed"])  # one process and two begin with the same head
    tokenizer, model = encoders.load(task["encoder"], task["names"], attention_dropout=0.0)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batches = {"batch_size": task["batch_size"], "seed": task["seed"]}
    dataloader = batching.make_dataloader(task["examples"], tokenizer.pad_token_id, **batches)
    settings = {"metric_for_best_model": None, "save_strategy": task["save"], "logging_steps": 1, "use_cpu": True}
    args = training.make_training_arguments(task["folder"], num_epochs=task["num_epochs"], **settings)
    optimizer = training.make_optimizer(model, task["lr"], head_lr=10 * task["lr"])
    options = {"optimizer": optimizer, "log": lambda row: die(task, trainer.state.global_step)}
    trainer = training.Trainer(model, args, objectives.cross_entropy, dataloader, **options)
    trainer.train(resume_from_checkpoint=training.last_checkpoint(task["folder"]))
    trainer.save_model(task["folder"])
    return trainer.state.log_history


# %% [markdown]
# There is no such place. `training.Trainer` reads `RANK` and `WORLD_SIZE` and takes its share of every batch, and
# `save_model` writes in the first process only. (`training.fit` of lesson 3 has none of this: started in two processes,
# it trains two separate models.) Dropout is set to 0. With it, two processes drop other numbers than one process does,
# so the runs would be equal on average only. `die` is for later: it kills the second process at an update that the task
# names.


# %%
def die(task, update):
    if os.environ.get("RANK") == "1" and update == task["dies_at"]:
        os.kill(os.getpid(), signal.SIGKILL)  # as the system does when the memory is full


# %%
def main():
    task = json.loads(Path(sys.argv[1]).read_text())
    history = train(task)
    if os.environ["RANK"] == "0":
        Path(task["folder"], "history.json").write_text(json.dumps(history))
    torch.distributed.destroy_process_group()  # without it, a thread of gloo may end the process with an error


# %%
imports = """
import json, os, signal, sys
from pathlib import Path
import torch
from nbhelpers import batching, encoders, environment, objectives, training
"""
trains = "\n\n".join([imports, *map(inspect.getsource, (die, train, main)), "main()"])


# %%
def run(count, name, **changes):
    task = {**common, "folder": str(here / name), **changes}
    (here / "task.json").write_text(json.dumps(task))
    start(count, trains, here / "task.json")
    return json.loads((here / name / "history.json").read_text())


# %% [markdown]
# Train once in this notebook, on half of the cores, and once in two processes that have half of the cores each. The
# batches and all settings are the same.

# %%
few = load_splits(corpus, num_trained, text=text, label=label, dialogue=dialogue, seed=seed)["train"]
reader = corpora.normalizing_tokenizer(tokenizer)  # cleans texts as the corpus was cleaned
examples = batching.tokenize(few["text"][:], reader, labels=few["label"][:], max_length=max_length)
common = {"encoder": encoder, "names": names, "examples": examples, "batch_size": batch_size, "lr": lr}
common |= {"num_epochs": num_epochs, "seed": seed, "save": "no", "dies_at": None}

# %%
num_threads = torch.get_num_threads()
torch.set_num_threads(max(1, num_threads // 2))
histories = {"one process": train({**common, "folder": str(here / "one")})}
torch.set_num_threads(num_threads)
print(f"one process: {histories['one process'][-1]['train_runtime']:.0f} s")
histories["two processes"] = run(2, "two")
print(f"two processes: {histories['two processes'][-1]['train_runtime']:.0f} s")

# %% [markdown]
# Do not compare the two times yet; the next section does. First, the losses:

# %%
losses = {name: [row["loss"] for row in history if "loss" in row] for name, history in histories.items()}
losses = pd.DataFrame(losses).rename_axis("update")
losses.index += 1
plots.run_curves(losses, "loss of the batch")

# %%
difference = (losses["one process"] - losses["two processes"]).abs()
print(f"{len(losses)} updates, largest difference of the loss: {difference.max():.0e}")

# %% [markdown]
# The two lines lie on each other. The difference is rounding again: sums in another order, carried on from update to
# update. So with this Trainer and the same batches, *no* setting changes for two processes. The same holds for more, as
# long as the loss is a sum over the texts.
#
# ### Twice the cores, half the time?
#
# Here is how long an update took, from the same two runs:

# %%
seconds = {name: history[-1]["train_runtime"] / len(losses) for name, history in histories.items()}
lines = {
    "one process, half of the cores": seconds["one process"],
    "half of that": seconds["one process"] / 2,
    "an all-reduce alone, from above": exchange_seconds,
    "two processes, all cores": seconds["two processes"],
}
pd.DataFrame({"ms for an update": {name: 1000 * value for name, value in lines.items()}}).round(0)

# %% [markdown]
# If two processes halved the time, the last line would equal the second. But three things are not halved: the gradients
# must be exchanged (third line), each process makes AdamW's step for all weights, and half of a small batch takes more
# than half of the time. So the last line is about the sum of the second and the third, or much more. It can even be
# above the first line: then the second process has brought nothing. A single process that uses all cores needs no
# exchange at all. So on one CPU, several processes are for trying things out. They are worth it where each has a device
# of its own.
#
# There is another limit. A share can be too small for a fast device. On the H200, two steps of roberta-large took:

# %%
for row in ("roberta-large, single turns", "roberta-large, texts of 128 tokens"):
    measured = stored("gpu", row)
    print(f"{math.prod(measured['batch']):,} tokens: {measured['step_ms']:.0f} ms")

# %% [markdown]
# The first step has a quarter of the tokens and takes nearly as long. So the GPU mostly waits for its next order, and
# four GPUs that share the larger batch would hardly be faster than one. First fill one device, and only then divide.
#
# ### One process dies
#
# A process can be killed at any time: the memory is full, or the machine is taken away. Then the others cannot go on.
# With gloo they stop with an error about a closed connection. With NCCL, the library for GPUs, they may wait until a
# time limit. Save a checkpoint after each epoch, kill the second process in the second epoch, and see what happens:

# %%
updates_per_epoch = len(losses) // num_epochs
try:
    run(2, "killed", save="epoch", dies_at=updates_per_epoch + 1)
except ClassifierError as error:
    print(error)
print("last checkpoint:", Path(training.last_checkpoint(here / "killed")).name)

# %% [markdown]
# `processes.run` has ended the other process as well. (-9: signal 9 has killed it.) Now start the same task once more.
# `train` finds the checkpoint and goes on from there, and it repeats the updates since then:

# %%
run(2, "killed", save="epoch")
weights = {name: load_file(here / name / "model.safetensors") for name in ("two", "killed")}
changes = [(weights["two"][name] - weights["killed"][name]).abs().max().item() for name in weights["two"]]
print(f"largest difference of the weights from the run that was not killed: {max(changes):.0e}")

# %% [markdown]
# Zero, or nearly so: the run ends with the weights that it would have had anyway. For a file of your own, all of this
# is one option. After a crash, the same command with `--resume` goes on:
#
#     nbhelpers train reviews.csv --text review --processes 2
#     nbhelpers train reviews.csv --text review --processes 2 --resume
#
# ## Learning rate and batch size
#
# As long as the batch *over all processes* stays the same, the learning rate stays as well. But most libraries take the
# batch size for each device. So does *accelerate*, which the unchanged Trainer of transformers (the *stock* Trainer)
# uses to run on several devices. On eight devices the batch is then eight times as large, and an epoch has an eighth of
# the updates. Which learning rate is right for it?
#
# - [Goyal et al. 2017](https://arxiv.org/abs/1706.02677): a batch that is k times as large gets a learning rate that is
#   k times as high, after a warm-up. This *linear rule* was found for SGD and images.
# - [Malladi et al. 2022](https://arxiv.org/abs/2205.10287): for Adam, the factor is the square root of k. (Their full
#   rule also changes Adam's other settings, which stay as they are here.)
#
# Some [guides](https://huggingface.co/docs/accelerate/concept_guides/performance) give the linear rule for AdamW as
# well. Try it on something fast: a linear layer on TF-IDF vectors, trained with AdamW for five epochs.

# %%
vectorizer = TfidfVectorizer(max_features=1000, sublinear_tf=True).fit(data["train"]["text"][:])
x = {split: torch.tensor(vectorizer.transform(data[split]["text"][:]).toarray()).float() for split in ("train", "dev")}
y = {split: torch.tensor(data[split]["label"][:]) for split in ("train", "dev")}


# %%
def loss_on_dev(size, rate, run_seed):
    environment.set_seed(run_seed)
    layer = torch.nn.Linear(x["train"].shape[1], len(names))
    optimizer = torch.optim.AdamW(layer.parameters(), lr=rate, fused=True)
    for _ in range(5):  # epochs
        for rows in torch.randperm(len(y["train"])).split(size):
            optimizer.zero_grad()
            cross_entropy(layer(x["train"][rows]), y["train"][rows]).backward()
            optimizer.step()
    return cross_entropy(layer(x["dev"]), y["dev"]).item()


# %%
def losses_of(size, rate):
    return [loss_on_dev(size, rate, run_seed) for run_seed in range(5)]


# %% [markdown]
# One device has batches of 16, and eight devices have batches of 128. Notch 0 in the picture is a rate of 0.0125, and
# each notch multiplies it by 8 to the power of 1/4. So two notches make the factor of the square root, and four that of
# the linear rule.

# %%
torch.set_num_threads(1)  # with so little work, threads would wait for each other
rates = [0.0125 * 8 ** (notch / 4) for notch in range(8)]
curves = {f"batches of {size}": [np.mean(losses_of(size, rate)) for rate in rates] for size in (16, 128)}
curves = pd.DataFrame(curves).rename_axis("notch of the learning rate")
plots.run_curves(curves, "loss on dev", over="the learning rate")

# %%
best = rates[curves["batches of 16"].idxmin()]
factors = {"the same rate": 1, "times the root of 8": math.sqrt(8), "times 8": 8}
rows = {"16, its best rate": (16, best)} | {f"128, {name}": (128, best * factor) for name, factor in factors.items()}
table = pd.DataFrame({name: [rate, *losses_of(size, rate)] for name, (size, rate) in rows.items()}).T
torch.set_num_threads(num_threads)
seeds = table.iloc[:, 1:]
pd.DataFrame({"learning rate": table[0], "loss on dev": seeds.mean(axis=1), "± over 5 seeds": seeds.std(axis=1)}).round(
    4
)

# %% [markdown]
# Look for the lowest point of each line. How many notches are they apart? Then read the table: with the same rate, the
# layer has made an eighth of the updates and has not moved far enough. Which factor comes close to the first line? In
# the saved output it is the root of 8, and 8 is worse than no change, by many times the spread of the seeds. But this
# is one small layer. With another model or another number of epochs, it may be different, and a pretrained encoder also
# fails above some rate, whatever the batch. So no rule is a law. Keep the batch over all devices, and no new learning
# rate is needed. If you need a larger batch, search around both rules ([lesson 11](11_search.ipynb)).
#
# **Exercise: predict.** Your DataLoader has `num_batches` batches. You start a script with the stock Trainer or
# accelerate in four processes, and each process takes whole batches from it. No batch is dropped. How many updates does
# an epoch have?

# %%
num_batches = 50
num_updates = None  # your answer
check("17-updates", num_updates, num_batches)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# num_updates = math.ceil(num_batches / 4)
# ```
# </details>
#
# ## What each device holds
#
# So far each process has had the whole model. In fp32, each trained weight takes 4 bytes, its gradient 4, and the two
# states of AdamW 8: 16 bytes on every device. (By default, DDP also holds a copy of the gradients for sending, 4 bytes
# more; `gradient_as_bucket_view=True` avoids it.) [ZeRO](https://arxiv.org/abs/1910.02054) (zero redundancy optimizer)
# divides these bytes among the devices. Stage 1 divides the states, stage 2 also the gradients, and stage 3 also the
# weights; torch's *FSDP* (fully sharded data parallel) is like stage 3. Each device then gets what it lacks from the
# others when it needs it.


# %%
def gib_on_each(million_parameters, devices):
    bytes_for_each = {
        "DDP": 16,
        "ZeRO, stage 1": 8 + 8 / devices,
        "ZeRO, stage 2": 4 + 12 / devices,
        "ZeRO, stage 3, or FSDP": 16 / devices,
    }
    return {way: count * 1e6 * million_parameters / 2**30 for way, count in bytes_for_each.items()}


# %%
def memory(million_parameters=355):
    devices = range(1, 17)
    table = pd.DataFrame([gib_on_each(million_parameters, n) for n in devices], pd.Index(devices, name="devices"))
    return plots.run_curves(table, "GiB on each device", over="the number of devices")


# %%
explore(memory, million_parameters=(20, 10_000, 5))

# %% [markdown]
# Activations come on top. They depend on the texts that a device has at a time, and these three stages do not divide
# them. The picture starts with roberta-large. Was that much measured? And which models fit into one device?

# %%
for row in ("roberta-large, single turns", "roberta-large, texts of 128 tokens"):
    print(f"{row}: {stored('gpu', row)['gpu_gib']} GiB at most; without activations {gib_on_each(355, 1)['DDP']:.1f}")
for gib in (16, 24, 80, 141):
    print(f"a device with {gib} GiB has room for {gib * 2**30 / 16 / 1e9:.1f} billion parameters, without activations")

# %% [markdown]
# roberta-large needs a third of a 16 GiB card for its weights, gradients and states. Nearly all encoders have fewer
# than a billion parameters, so they need neither ZeRO nor FSDP: DDP is simpler and sends less (stage 3 sends half as
# much again). Both are for models of several billion parameters.
#
# FSDP works on CPUs as well, so you can look at it here. torch's `fully_shard` divides the weights of a module among
# the processes. Each layer is divided by itself, so that only one layer at a time has to be complete. Take a tiny BERT
# with random weights, and make five updates with the same 16 texts, once in this notebook and once in two processes
# that have 8 texts each:


# %%
def tiny_bert():
    environment.set_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = transformers.BertConfig(**sizes, **off, vocab_size=50, num_labels=3)
    return transformers.BertForSequenceClassification(config)


def five_updates(model, texts):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(5):
        model(input_ids=texts, labels=texts[:, 1] % 3).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        return model(input_ids=texts, labels=texts[:, 1] % 3).loss


# %%
texts = torch.tensor([[2, 5 + i, 3] for i in range(16)])
model = tiny_bert()
rows = {"one process": [sum(weight.numel() for weight in model.parameters()), five_updates(model, texts).item()]}

# %%
shards = f"""
import json, sys, torch, transformers
from torch import distributed
from torch.distributed.fsdp import fully_shard
from nbhelpers import environment

{inspect.getsource(tiny_bert)}
{inspect.getsource(five_updates)}
distributed.init_process_group("gloo")
mesh, model = distributed.init_device_mesh("cpu", (2,)), tiny_bert()
for module in (*model.bert.encoder.layer, model):
    fully_shard(module, mesh=mesh)
held = sum(weight.to_local().numel() for weight in model.parameters())
loss = five_updates(model, torch.tensor({texts.tolist()})[distributed.get_rank() :: 2])
distributed.all_reduce(loss)
if distributed.get_rank() == 0:
    open(sys.argv[1], "w").write(json.dumps([held, loss.item() / 2]))
distributed.destroy_process_group()
"""

# %%
start(2, shards, here / "shards.json")
rows["each of two, FSDP"] = json.loads((here / "shards.json").read_text())
table = pd.DataFrame(rows, ["weights in the process", "loss after five updates"]).T.round(5)
table.astype({"weights in the process": int})

# %% [markdown]
# Each of the two processes has half of the weights, and with them half of the gradients and of AdamW's states, and the
# loss is the same. With the Trainer, FSDP is `TrainingArguments(fsdp=True)`, but only on GPUs: on CPUs, accelerate 1.x
# trains with DDP instead, without a message. This course has tested DDP and FSDP in two processes on CPUs, and neither
# of them on several GPUs.
#
# ## Beyond one machine: Ray
#
# Several machines have problems of their own: start the processes, move the data, notice that a machine has died. *Ray*
# does this. The folder `deploy` has a file for each load; each takes the functions that you know from one machine:
#
# | file | what it does | when a worker is killed |
# |---|---|---|
# | `deploy/ray_tune.py` | a random search as in lesson 11, on many machines | its trial starts again elsewhere |
# | `deploy/ray_data.py` | `nbhelpers predict` for many files | its rows are classified again |
# | `deploy/ray_train.py` | `nbhelpers train --processes` on several machines | all go on from the last checkpoint |
# | `deploy/ray_serve.py` | the service of lesson 7, several copies | nginx asks its requests again of another copy |
#
# Ray is not installed with the course, so these commands are only shown; they are for your own shell. The first line is
# for each machine, the second for the first machine, and the third for each other one. The last two classify files and
# train, from the first machine. All machines must see the corpus, the model and the output under the same path, as on a
# shared disk:
#
#     pip install -e ".[course,scale]"
#     ray start --head
#     ray start --address FIRST_MACHINE:6379
#     python -m deploy.ray_data runs/reviews reviews/ scored --id review_id --workers 8
#     python -m deploy.ray_train reviews.csv --text review --processes 8
#
# Each file was tested on two machines that were simulated on one, with a worker killed at work. The page [When one
# machine is not enough](../docs/scale.md) says more.
#
# ### How large should a part be?
#
# You can also divide the rows yourself, without Ray: cut the files into parts, and give a part to each machine that is
# free. How large should a part be? Here is a simulation. Each part first loads the model (its time was measured: row
# "start to ready"). A worker that is killed starts its part again from the beginning.

# %%
start_seconds = stored("service", "start to ready, int8")["seconds"]


# %%
def simulated_hours(rows_in_part, workers, hours_between_kills, rows=1e9):
    rng = np.random.default_rng(seed)
    needed = start_seconds + rows_in_part / rows_per_second
    free_at = [0.0] * workers  # when each worker has finished its part, in seconds
    for _ in range(math.ceil(rows / rows_in_part)):
        begin = heapq.heappop(free_at)  # the worker that is free first takes the next part
        while (alive := rng.exponential(3600 * hours_between_kills)) < needed:
            begin += alive  # killed: this work is lost
        heapq.heappush(free_at, begin + needed)
    return max(free_at) / 3600


# %%
def parts(workers=64, hours_between_kills=24):
    sizes = [20_000, 100_000, 500_000, 2_000_000, 5_000_000, 10_000_000]
    hours = [simulated_hours(size, workers, hours_between_kills) for size in sizes]
    table = pd.DataFrame({"hours": hours}, pd.Index([f"{size:,}" for size in sizes], name="rows in a part"))
    ideal = 1e9 / rows_per_second / workers / 3600
    return [f"A billion rows on {workers} workers; without any loss: {ideal:.2f} hours.", table.round(2)]


# %%
explore(parts, workers=(8, 256, 8), hours_between_kills=(2, 168))

# %% [markdown]
# Small parts cost a start each. Large parts cost more and more, for two reasons. A kill destroys more work. And at the
# end, most workers have nothing to do while the last ones still compute: with 200 parts and 64 workers, four rounds are
# needed, and the last one is nearly empty. Workers that are still busy when the others have finished are called
# *stragglers*. Raise the number of workers and see at which size the time rises. `ray_data.py` avoids the choice: its
# workers load the model once, so its parts can be small (1,000 rows).
#
# ## What does it cost?
#
# Put in your load and your price. The table plans a service for 60 % of what it can do at most ([lesson
# 7](07_deployment.ipynb) shows why), and counts 730 hours a month. It is an estimate for the embedded encoder, and for
# requests of four or five short texts. roberta-base does eight times the arithmetic for each token.


# %%
def machines_and_hours(seconds, within_hours):
    machines = math.ceil(seconds / 3600 / within_hours)
    return machines, seconds / 3600 / machines


# %%
def cost(requests=100, million_rows=1000, within_hours=24, euros_per_hour=euros_per_machine_hour):
    rows = 1e6 * million_rows
    copies = math.ceil(requests / (0.6 * requests_per_second))
    lines = {
        f"service, {requests:,} requests a second, for a month": (copies, 730),
        f"classify {million_rows:,} million rows": machines_and_hours(rows / rows_per_second, within_hours),
        f"train on {million_rows:,} million rows": machines_and_hours(rows / trained_per_second, within_hours),
    }
    table = pd.DataFrame(lines, ["machines", "hours"]).T
    return table.assign(euros=euros_per_hour * table["machines"] * table["hours"]).round(1)


# %%
sliders = {"requests": (1, 20_000), "million_rows": (1, 5000), "within_hours": (1, 720)}
explore(cost, **sliders, euros_per_hour=(0.01, 20.0, 0.01))

# %% [markdown]
# For rows, a hundred machines cost as much as one, because the hours fall as the machines rise. So the price does not
# depend on how soon you want the result. For a training this is not true: the last line is optimistic, as above,
# because it leaves the exchange out. A service costs its machines day and night. With three times as many requests at
# noon as at night, copies that come and go save money (`deploy/kubernetes.yml`).
#
# ## What goes wrong
#
# ### A batch that grows with the devices
#
# This is what happened to the team at the top. accelerate gives each process whole batches. Take its own class, and
# that of this course, and count for a DataLoader with batches of 16, whatever `batch_size` is above:

# %%
batches = BatchSampler(range(len(y["train"])), 16, drop_last=False)
rows = {}
for n in (1, 2, 8):
    theirs = [list(BatchSamplerShard(batches, n, process)) for process in range(n)]
    ours = [list(training.SharedBatches(batches, process, n)) for process in range(n)]
    for name, shares in {"accelerate": theirs, "this course": ours}.items():
        first_update = sum(len(share[0]) for share in shares)
        read = sum(len(batch) for share in shares for batch in share)
        rows[name, n] = {"updates": len(shares[0]), "texts in an update": first_update, "texts read": read}
pd.DataFrame(rows).T.rename_axis(["", "processes"])

# %% [markdown]
# With accelerate, the updates fall as the processes rise, and the learning rate stays as it is. Where the batches do
# not divide evenly, it also reads some texts twice. Divide `per_device_train_batch_size` by the number of devices, or
# let accelerate divide each batch (`accelerator_config={"split_batches": True}` in TrainingArguments), and check how
# many updates an epoch has. In `training.Trainer` the batch is always that of all processes together.
#
# ### A loss that grows with the processes
#
# The stock Trainer has another trap. Here it makes one update of the tiny BERT with 16 texts, once in this notebook and
# once in two processes that get 8 texts each:


# %%
def first_update(folder, texts_for_each):
    rows = [{"input_ids": [2, 5 + i, 3], "labels": i % 3} for i in range(16)]
    options = {"metric_for_best_model": None, "logging_steps": 1, "use_cpu": True}
    args = training.make_training_arguments(folder, num_epochs=1, per_device_train_batch_size=texts_for_each, **options)
    trainer = transformers.Trainer(tiny_bert(), args, train_dataset=rows)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return trainer.state.log_history[0]


# %%
stock = f"""
import json, os, sys, torch, transformers
from nbhelpers import environment, training

{inspect.getsource(tiny_bert)}
{inspect.getsource(first_update)}
row = first_update(sys.argv[1], 8)
if os.environ["RANK"] == "0":
    print(json.dumps(row), file=open(sys.argv[2], "w"))
torch.distributed.destroy_process_group()
"""
start(2, stock, here / "stock", here / "row.json")

# %%
rows = {"one process": first_update(here / "stock", 16), "two processes": json.loads((here / "row.json").read_text())}
pd.DataFrame(rows).T[["loss", "grad_norm"]].round(3)

# %% [markdown]
# Both lines should agree. In transformers 5.23, the loss and the gradient are twice as large in two processes (by the
# same code, eight times as large in eight). `Trainer.compute_loss` multiplies by the number of processes, and expects
# the model to divide by the labels of all of them. BERT and RoBERTa classifiers do not do this. (If your lines agree,
# your version has fixed it; [lesson 3](03_baseline.ipynb) shows the same fault with gradient accumulation.) AdamW hides
# the factor, but clipping does not: it cuts gradients that are not large at all. Until it is fixed, set
# `average_tokens_across_devices=False`. Each process then takes its own mean, which is right if all have equally many
# labels.
#
# ### Rows that count twice
#
# Evaluation can be divided as well. torch's `DistributedSampler` gives each process equally many rows. If the number
# does not divide evenly, it takes some again:

# %%
[list(DistributedSampler(range(11), num_replicas=4, rank=rank, shuffle=False)) for rank in range(4)]

# %% [markdown]
# Eleven rows became twelve: row 0 is there twice. What does this do to a score? Predict dev with TF-IDF and logistic
# regression, and compute the accuracy over the rows that so many processes read:

# %%
simple = baselines.tf_idf(data["train"]["text"][:], data["train"]["label"][:])
is_right = np.array(simple.predict(data["dev"]["text"][:])) == np.array(data["dev"]["label"][:])

# %%
rows = {}
for n in (1, 2, 4, 8, 16, 32, 64):
    shares = [DistributedSampler(range(len(is_right)), n, rank, shuffle=False) for rank in range(n)]
    read = [row for share in shares for row in share]
    rows[n] = {"rows of dev": len(is_right), "rows counted": len(read), "accuracy (%)": 100 * is_right[read].mean()}
pd.DataFrame(rows).T.rename_axis("processes").round(2)

# %% [markdown]
# The model and the data are the same in each line, and yet the score can move wherever rows are counted twice. It is an
# [old report](https://github.com/pytorch/pytorch/issues/25162), and torch's documentation says that rows are added. In
# training a repeated row hardly matters; in a score it does. accelerate's `gather_for_metrics` removes such rows.
# `training.Trainer` lets each process evaluate all of dev.
#
# ### The same order in every epoch
#
# `DistributedSampler` shuffles with a seed and the number of the epoch. Nobody tells it this number:

# %%
sampler = DistributedSampler(range(100), num_replicas=2, rank=0)
for epoch in (0, 1):
    print(f"epoch {epoch}, not told:", list(sampler)[:8])
for epoch in (0, 1):
    sampler.set_epoch(epoch)
    print(f"epoch {epoch}, told:    ", list(sampler)[:8])

# %% [markdown]
# Without `set_epoch`, each epoch has the same batches in the same order. A DataLoader with `shuffle=True` and no
# division is worse: each process then reads all texts, and with the same seed even in the same order, so nothing is
# gained. And if the batches are divided after each process has shuffled with another seed, some texts are read several
# times in an epoch and others never. So shuffle once for all processes, and then divide. `training.share`, with which
# the course's Trainer divides a DataLoader, refuses an order of each process:

# %%
try:
    training.share(DataLoader([{"labels": 1}] * 4, shuffle=True), 0, 2)
except ValueError as error:
    print(error)

# %% [markdown]
# ### Every process writes
#
# A script that runs in two processes does everything twice. Here each writes the score of an epoch into a file, once as
# many scripts do, and once in the first process only:

# %%
writes = """
import os, sys

print("epoch 1: 0.81", file=open(sys.argv[1], "a"))
if os.environ["RANK"] == "0":
    print("epoch 1: 0.81", file=open(sys.argv[2], "a"))
"""

# %%
files = here / "scores.txt", here / "first_only.txt"
start(2, writes, *files)
for file in files:
    print(f"{file.name}: {file.read_text().splitlines()}")

# %% [markdown]
# Two lines in a log are harmless. Two processes that write the same checkpoint at the same moment can leave a file that
# nobody can read. So write in the first process only. The opposite is a trap as well: if only the first process calls
# an all-reduce, it waits for the others.
#
# ### DataParallel is not DDP
#
# If you start a script with plain `python` on a machine with several GPUs, transformers' Trainer uses all of them, in
# one process, with the older `torch.nn.DataParallel`. This is how it computes the batch:

# %%
print(inspect.getsource(transformers.TrainingArguments.train_batch_size.fget))

# %% [markdown]
# So here, too, the batch grows without a message. torch's documentation recommends DDP instead, even on a single
# machine: one process feeds all devices, and copies the model to each of them for every batch. Start one process for
# each device, with `torchrun` or `nbhelpers train --processes`. The course's Trainer takes one GPU for each process.
#
# ## Exercises
#
# Three exercises were above; here is one more. A wrong answer gets a hint, which grows with each try.
#
# **On how many devices does a model fit?** Weights, gradients and AdamW's states in fp32 are all divided (FSDP). Each
# device has `gib` GiB, of which `reserved` GiB stay free for activations. Return the smallest number of devices.


# %%
def devices_needed(million_parameters, gib, reserved):
    return None  # your code


check("17-devices", devices_needed)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def devices_needed(million_parameters, gib, reserved):
#     return math.ceil(16e6 * million_parameters / 2**30 / (gib - reserved))
# ```
# </details>
#
# **For your own data.** Which of the four problems will you have first? Put your load into the table of costs, with
# your own measurement of rows or requests per second: `nbhelpers bench` makes one.
#
# ## Quiz
#
# Three questions on this lesson:

# %%
quiz("17-which")
quiz("17-batch")
quiz("17-network")

# %% [markdown]
# ## Recap
#
# - Rows, requests and trials need no exchange between machines. Only a training that takes too long does.
# - DDP: the whole model in each process, a share of every batch, one all-reduce for each update. Divide the sum of the
#   losses by the labels of all processes, and multiply it by the number of processes, because DDP averages.
# - Keep the batch over all processes, and the result is that of one process. If it grows, search for the learning rate.
# - Before you rent a second machine, compare the time of an update with the time that its gradients need on the
#   network.
# - Encoders seldom need ZeRO or FSDP. Their 16 bytes for each weight fit into one device.
# - Count each row once in a score, and write in one process only. Checkpoints make a kill cheap.
#
# This was the last lesson. The page [When one machine is not enough](../docs/scale.md) goes on to ten thousand requests
# a second. The last cell removes the files of this lesson, and has the number that `nbhelpers run` shows for it: by how
# much the loss in two processes differed from that in one.

# %%
folder.cleanup()
headline("largest difference of the loss in two processes", difference.max())
