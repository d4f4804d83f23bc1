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
# After this lesson you can
#
# - fine-tune an encoder by training a few percent of its weights or less, and say what that saves and what it does not,
# - save an adapter with its head, reload it with identical answers, and merge it into a plain model,
# - avoid the three mistakes that make LoRA look bad: wrong target_modules, too low a rate, a lost head.
#
# <!-- facts -->
# Measured: default profile 1.3 min, 1.9 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# Fine-tuning changes every weight, so each task ends with a model of full size. LoRA leaves the weights as they are,
# learns a small change beside them, and saves only that. Here you write it out by hand, compare it with its rivals, and
# break it in the usual ways.
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
import importlib.util
import inspect
import time
import warnings
from pathlib import Path

import pandas as pd
import peft
import torch
import transformers
from IPython.display import Code
from torch import nn

from nbhelpers import adapters, batching, corpora, encoders, environment, metrics, objectives, plots, training
from nbhelpers.course import results
from nbhelpers.course.exercises import check
from nbhelpers.course.headline import headline

transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show
warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # peft 0.21 still asks by a name that will go

# %% cellView="form" tags=["parameters"]
# @markdown "dialogues" (come with the course), "meld" (downloaded when missing), or a folder in MELD's format.
corpus = "dialogues"  # @param {type: "string"}
# @markdown "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown Layers that LoRA changes: "all" linear layers of the encoder, or names such as "query,value".
target_modules = "all"  # @param {type: "string"}
# @markdown Rank of the updates; their scale alpha is twice the rank.
r = 16  # @param {type: "integer"}
# @markdown Passes over the training data, the same for every method.
num_epochs = 3  # @param {type: "integer"}
# @markdown Peak learning rate of full fine-tuning.
lr = 1e-4  # @param {type: "number"}
# @markdown Peak learning rate of LoRA; IA3 gets ten times as much.
lora_lr = 1e-3  # @param {type: "number"}
# @markdown Peak learning rate of the fresh head, the same for every method.
head_lr = 1e-2  # @param {type: "number"}
# @markdown Use only this many rows of each split; 0 uses all.
num_rows = 600  # @param {type: "integer"}
# @markdown The number that random choices start from.
seed = 0  # @param {type: "integer"}

# %%
data = corpora.load(corpus)
if num_rows:
    data = corpora.DatasetDict({name: part.select(range(min(num_rows, len(part)))) for name, part in data.items()})
names = data["train"].features["emotion"].names
gold = {split: part["emotion"][:] for split, part in data.items()}
device = environment.best_device()
precision, _ = environment.best_precision(device)
tokenizer, _ = encoders.load(encoder, names)
examples = {split: batching.tokenize(part["text"][:], tokenizer, labels=gold[split]) for split, part in data.items()}
batches = {
    split: batching.make_dataloader(rows, tokenizer.pad_token_id, batch_size=16, shuffle=split == "train", seed=seed)
    for split, rows in examples.items()
}
{split: len(labels) for split, labels in gold.items()}


# %%
def fresh_model(seed=seed):
    environment.set_seed(seed)  # the same fresh head each time
    return encoders.load(encoder, names)[1].to(device)


def scored(model, split):
    made = training.predict(model, batches[split], precision=precision).argmax(-1).numpy()
    return made, 100 * metrics.scores(gold[split], made, len(names))["weighted_f1"]


# %% [markdown]
# ## What full fine-tuning keeps in memory
#
# For each weight that learns, AdamW needs four numbers: the weight, its gradient, and two running means (of the
# gradient and of its square). A frozen weight needs one.


# %%
def state_bytes(counted):
    """Weights, and for those that learn a gradient and two means, in fp32."""
    return 4 * counted["total"] + 3 * 4 * counted["trainable"]


model = fresh_model()
counted = adapters.num_parameters(model)
print(
    f"{counted['total'] / 1e6:.1f} million weights: {state_bytes(counted) / 1e6:.0f} MB if all learn, "
    f"{4 * counted['total'] / 1e6:.0f} MB if none does"
)
print(f"estimate with everything, for a batch of 4,096 tokens: {environment.training_memory(model, 4096):.1f} GiB")

# %% [markdown]
# The estimate adds the *activations*, intermediate results that the backward pass needs. They grow with the batch, and
# LoRA keeps them and adds its own, so what you save in all is less than the first line suggests, if anything.
#
# Must every weight learn? Pre-training has already found good features; a new task mostly needs them mixed in another
# way. Aghajanyan et al. ([2020](https://arxiv.org/abs/2012.13255)) found that changes within a space of few dimensions
# go most of the way. LoRA ([Hu et al. 2021](https://arxiv.org/abs/2106.09685)) builds such changes into the layers.
#
# ## LoRA by hand
#
# A linear layer multiplies by a matrix *W* with `d_out` x `d_in` numbers. LoRA freezes it and adds the product of two
# thin ones, *B* (`d_out` x `r`) and *A* (`r` x `d_in`), times a fixed scale: *W x* + (alpha / r) *B A x*. This is
# all of it:


# %%
class Lora(nn.Module):
    def __init__(self, linear, r, alpha):
        super().__init__()
        self.linear, self.scale = linear.requires_grad_(False), alpha / r
        self.A = nn.Parameter(torch.randn(r, linear.in_features) / r)
        self.B = nn.Parameter(torch.zeros(linear.out_features, r))  # zero: at first, nothing changes

    def forward(self, x):
        return self.linear(x) + self.scale * (x @ self.A.T @ self.B.T)


# %% [markdown]
# The course uses the library peft for it, through a thin helper that knows which layers to change and that the head
# must learn, too:

# %%
Code(inspect.getsource(adapters.lora), language="python")

# %% [markdown]
# Do both compute the same? Give peft's *B* random numbers, put our class into a second model with peft's *A* and *B*,
# and compare the logits of a batch:

# %%
chosen = target_modules if target_modules == "all" else target_modules.split(",")
options = {"r": r, "alpha": 2 * r, "target_modules": chosen}
theirs, ours = adapters.lora(fresh_model(), **options).eval(), fresh_model().eval()
for name, layer in theirs.named_modules():
    if isinstance(layer, peft.tuners.lora.Linear):
        nn.init.normal_(layer.lora_B["default"].weight, std=0.02)
        name = name.removeprefix("base_model.model.")
        mine = Lora(ours.get_submodule(name), r, 2 * r).to(device)
        mine.A.data, mine.B.data = layer.lora_A["default"].weight.data, layer.lora_B["default"].weight.data
        ours.set_submodule(name, mine)

# %%
batch = {name: tensor.to(device) for name, tensor in next(iter(batches["dev"])).items() if name != "labels"}
with torch.inference_mode():
    before, by_peft, by_hand = (model(**batch).logits for model in (fresh_model().eval(), theirs, ours))
print(
    f"by hand and by peft: largest difference of the logits {(by_hand - by_peft).abs().max():.0e}; "
    f"with and without this random change: {(by_hand - before).abs().max():.2f}"
)

# %% [markdown]
# How much is there to learn? *Without head* counts what the method itself adds. More target_modules mean more weights:

# %%
kinds = {"all linear layers": "all", "the usual two": None}
counts = {
    f"r = {rank}, {kind}": adapters.num_parameters(adapters.lora(fresh_model(), r=rank, target_modules=layers))
    for kind, layers in kinds.items()
    for rank in (8, 16)
}
pd.DataFrame(counts).T.assign(share=lambda x: (100 * x["trainable"] / x["total"]).round(2).astype(str) + " %")

# %% [markdown]
# The usual two are the layers that make queries and values in the attention, the original paper's choice. On this small
# encoder, all linear layers come to a few percent. In a wider encoder the share is smaller: a layer's matrix grows with
# the square of its width, its update only in proportion.
#
# ## Four ways to train
#
# Head only, everything, LoRA, and IA3, which learns just one factor for each key, value and feed-forward unit
# ([Liu et al. 2022](https://arxiv.org/abs/2205.05638)). Each gets its own learning rate, the same rate for the
# head, and the same number of passes; the weights after the last one count. The head's default rate, 1e-2, was
# chosen on dev, by hand and with one seed: with 1e-3 the last three scored lower.
# Megabytes saved are those of the folder really written.

# %%
predictions, rows = {}, {}


def folder_bytes(folder):
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def train(model, rate, num_epochs=num_epochs):
    optimizer = training.make_optimizer(model, rate, head_lr=head_lr)
    scheduler = training.make_scheduler(optimizer, num_epochs * len(batches["train"]))
    settings = {"num_epochs": num_epochs, "precision": precision}
    environment.set_seed(seed)
    training.fit(model, batches["train"], objectives.cross_entropy, optimizer, scheduler, **settings)
    return model


# %%
def compare(name, model, rate):
    start = time.perf_counter()
    train(model, rate)
    seconds = time.perf_counter() - start
    model.save_pretrained(f"saved/{name}")
    counted = adapters.num_parameters(model)
    predictions[name], (_, dev) = scored(model, "test")[0], scored(model, "dev")  # test is kept unread for now
    rows[name] = {
        "dev": round(dev, 1),
        "trainable": f"{counted['trainable']:,}",
        "without head": f"{counted['without head']:,}",
        "seconds": round(seconds),
        "training state MB": round(state_bytes(counted) / 1e6),
        "saved MB": round(folder_bytes(f"saved/{name}") / 1e6, 2),
    }
    print(f"{name}: weighted F1 on dev {dev:.1f}, {seconds:.0f} s")
    return model


# %%
frozen = fresh_model()
training.freeze_encoder(frozen)
compare("frozen encoder", frozen, lr)
compare("full fine-tuning", fresh_model(), lr)
adapted = compare("LoRA", adapters.lora(fresh_model(), **options), lora_lr)
compare("IA3", adapters.ia3(fresh_model()), 10 * lora_lr)
pd.DataFrame(rows).T

# %% [markdown]
# All are trained; now test is read, each score with its interval (bootstrap over test rows, 95 %):

# %%
bars = {}
for name, made in predictions.items():
    score = metrics.scores(gold["test"], made, len(names))["weighted_f1"]
    low, high = metrics.bootstrap_ci(gold["test"], made, num_classes=len(names), seed=seed)
    bars[name] = {"score": 100 * score, "low": 100 * low, "high": 100 * high}
plots.score_bars(pd.DataFrame(bars).T, measure="weighted F1 (%)")

# %% [markdown]
# One seed, one choice of rates and (in the default profile) few training turns: read the bars as a warning of how
# little such a run can tell. Five seeds on all of MELD stand at the end. What does not depend on luck stands in the
# table: how many weights learn, and what is saved.
#
# Compare the seconds, too. LoRA still computes every layer forwards and the gradients back through them. It leaves out
# the gradients of the frozen weights, but adds two small products to each layer that it adapts. It is a way to save
# disk, to keep many tasks beside one encoder, and, where the weights are large beside the batch, to save memory. It is
# no way to save time.
#
# ## Save, reload, merge
#
# The folder of an adapter holds its own weights and the head's, not the encoder:

# %%
{file.name: f"{file.stat().st_size / 1e3:,.1f} kB" for file in sorted(Path("saved/LoRA").iterdir())}

# %% [markdown]
# To reload it, put it on a fresh copy of the same encoder. That copy has another random head, which must not matter:


# %%
some = batching.make_dataloader(examples["test"][:200], tokenizer.pad_token_id, shuffle=False)


def logits(model):
    return training.predict(model, some)  # in fp32


expected = logits(adapted)
again = adapters.load_adapter(fresh_model(seed + 1), "saved/LoRA")
print(f"largest difference of the logits: {(logits(again) - expected).abs().max():.1e}")

# %% [markdown]
# *Merging* adds (alpha / r) *B A* to *W* once and for all. The result is a plain model: no peft, no extra cost per
# text, a folder as after full fine-tuning. Merge in fp32; in bf16 small changes would be rounded away.

# %%
plain = adapters.merge(again)
plain.save_pretrained("saved/merged")
tokenizer.save_pretrained("saved/merged")
reloaded = encoders.load_trained("saved/merged")[1].to(device)
for name, model in (("merged", plain), ("merged, saved and reloaded", reloaded)):
    print(f"{name}: largest difference of the logits {(logits(model) - expected).abs().max():.0e}")
print(f"a {type(reloaded).__name__} of {folder_bytes('saved/merged') / 1e6:.0f} MB")

# %% [markdown]
# Save the adapter while you experiment, and the merged model where it is to be served or exported.
#
# ## What goes wrong
#
# ### A target that is not there
#
# Recipes for language models name `q_proj` and `v_proj`. Encoders of the BERT and RoBERTa kind have no such layers:


# %%
def said(function):
    try:
        function()
        return "no complaint"
    except ValueError as error:
        return str(error)


def plain_peft(*layers):
    return peft.get_peft_model(fresh_model(), peft.LoraConfig(target_modules=list(layers)))


there = adapters.linear_layers(fresh_model())[0].split(".")[-1]
print("adapters.lora, q_proj:", said(lambda: adapters.lora(fresh_model(), target_modules="q_proj")))
print("peft alone, q_proj:", said(lambda: plain_peft("q_proj")))
print(f"peft alone, {there} and v_proj:", said(lambda: plain_peft(there, "v_proj")))

# %% [markdown]
# peft stops when no name fits. When one of two fits, it says nothing and adapts half of what you asked for.
#
# ### The rate of full fine-tuning
#
# The commonest mistake: keep everything as it was and add LoRA. *B* starts at zero and both matrices move by steps of
# about the learning rate, so that their product stays tiny. The same LoRA with the other rate, the head's as before,
# judged on dev:

# %%
slow = train(adapters.lora(fresh_model(), **options), lr)
print(f"LoRA at {lr:g}: weighted F1 on dev {scored(slow, 'dev')[1]:.1f}")
for name, rate in (("LoRA", lora_lr), ("full fine-tuning", lr), ("frozen encoder", 0)):
    print(f"{name} at {rate:g}: {rows[name]['dev']:.1f}")

# %% [markdown]
# How far above the frozen encoder is it? Only that is LoRA's work, the rest is the head's. With one rate for
# everything, as many programs have it, the head would be slow as well.
#
# The authors' own [recipes](https://github.com/microsoft/LoRA/tree/main/examples/NLU) for RoBERTa take 2e-4 to 5e-4,
# which is 10 to 40 times what is usual for full fine-tuning there, and 10 to 80 passes. The embedded encoder, being
# small, bears 1e-3.
#
# ### The lost head
#
# Without a task type and without `modules_to_save`, peft freezes the head as well. Those who notice set it free by
# hand, train, see a good score, and save. But peft saves only what it knows of:

# %%
layers = adapters.pattern(fresh_model(), chosen, adapters.QUERY_VALUE)  # the same layers as above
config = peft.LoraConfig(r=r, lora_alpha=2 * r, target_modules=layers)
careless = peft.get_peft_model(fresh_model(), config)
careless.get_base_model().classifier.requires_grad_(True)
train(careless, lora_lr, num_epochs=1)
careless.save_pretrained("saved/careless")
returned = peft.PeftModel.from_pretrained(fresh_model(seed + 1), "saved/careless")
for name, model in (("trained", careless), ("saved and reloaded", returned)):
    print(f"{name}: weighted F1 on dev {scored(model, 'dev')[1]:.1f}")

# %% [markdown]
# No error, no warning: the reloaded model has a new random head. Put the adapter back on the same model object, which
# still has the trained head, and nothing shows; so test in a new process. `adapters.lora` names the head's layers in
# `modules_to_save`, and `load_adapter` refuses such a folder:

# %%
print(said(lambda: adapters.load_adapter(fresh_model(), "saved/careless")))

# %% [markdown]
# peft's `task_type="SEQ_CLS"` saves modules named `classifier` or `score`, but not BERT's pooler, and its default
# target_modules for RoBERTa are queries and values only. Whatever you use: reload once, compare the logits, then go home.
#
# ## QLoRA: the frozen weights in 4 bits
#
# QLoRA ([Dettmers et al. 2023](https://arxiv.org/abs/2305.14314)) keeps the frozen weights in 4 bits each and trains
# LoRA on top in higher precision. It makes models of billions of weights fit one GPU. It needs the library
# bitsandbytes; the head must not be quantised, for such weights cannot learn.


# %%
def in_four_bits():
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=training.DTYPES[precision],
        llm_int8_skip_modules=adapters.heads(fresh_model()),
    )
    return encoders.load(encoder, names, quantization_config=config)[1].to(device)


def qlora(num_texts=128):
    model = in_four_bits()
    before, after = (one.get_memory_footprint() / 1e6 for one in (fresh_model(), model))
    model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # freezes all: before lora
    model = adapters.lora(model, **options).to(device)
    some = batching.make_dataloader(examples["train"][:num_texts], tokenizer.pad_token_id, batch_size=16, seed=seed)
    optimizer = training.make_optimizer(model, lora_lr, head_lr=head_lr)
    steps = training.make_scheduler(optimizer, len(some))
    last = training.fit(model, some, objectives.cross_entropy, optimizer, steps, num_epochs=1, precision=precision)[-1]
    print(f"weights {before:.0f} MB, in 4 bits {after:.0f} MB; {len(some)} updates, last loss {last['train_loss']:.2f}")
    if device.type == "cuda":
        print(f"GPU memory at its peak since this lesson began: {torch.cuda.max_memory_allocated() / 1e6:.0f} MB")


# %%
if importlib.util.find_spec("bitsandbytes"):
    qlora()
else:
    print("Not run here: bitsandbytes is not installed (pip install bitsandbytes), so nothing was quantised.")

# %% [markdown]
# This function has been run on a CPU with bitsandbytes 0.50.2, where the weights of the embedded encoder went from 90
# to 53 MB; **it has not been run on a GPU**. The gain is small because half of that encoder is its word embeddings,
# which stay as they are, and because with thousands of tokens in a batch the activations take more than the weights.
# For encoders of this size or ten times that, plain LoRA will do.
#
# ## Prefix tuning
#
# Prefix tuning ([Li and Liang 2021](https://arxiv.org/abs/2101.00190)) leaves all layers alone and learns keys and
# values that stand in front of the text in every layer. In peft 0.21 it works only with a head on the first token; for
# mean pooling our helper says so:

# %%
print("mean:", said(lambda: adapters.prefix(encoders.load(encoder, names, pooling="mean")[1])))
model = adapters.prefix(encoders.load(encoder, names, pooling="cls")[1].to(device))
print("cls:", adapters.num_parameters(model))
few = batching.make_dataloader(examples["train"][:16], tokenizer.pad_token_id, batch_size=16)
optimizer = training.make_optimizer(model, 1e-2, head_lr=1e-3)
scheduler = training.make_scheduler(optimizer, 15)
history = training.fit(model, few, objectives.cross_entropy, optimizer, scheduler, num_epochs=15, precision=precision)
print(f"loss on 16 texts: {history[0]['train_loss']:.2f}, after 14 updates {history[-1]['train_loss']:.2f}")

# %% [markdown]
# ## Where this stands
#
# The same methods on all of MELD, measured with the settings in `nbhelpers/course/tables/meld.yml` and to be had again
# with `nbhelpers results meld`; "without head" counts what the method itself adds. Each gets four passes. The head's
# rate is 1e-3 for full fine-tuning and 1e-2 for the others.

# %%
methods = ["utterance only", "frozen encoder", "LoRA", "LoRA at the rate of full fine-tuning", "IA3"]
results.summary("meld", rows=methods, costs=True)

# %% [markdown]
# Look at the memory, too ("GiB"). With a small encoder, the activations that LoRA adds can outweigh what it saves on
# gradients and means.
#
# And on a GPU? A training step of roberta-large's architecture (355 million weights; random ones, as speed and memory
# do not depend on their values), LoRA with r = 16 on all layers, under bf16 autocast, weights and optimizer in fp32;
# measured with `python tests/benchmarks/gpu.py`:

# %%
gpu = pd.DataFrame(results.read("gpu")).query("row.str.contains('large.*(?:turns|tokens|LoRA|checkpointing)$')")
gpu["batch"] = [f"{size} x {tokens} tokens" for size, tokens in gpu["batch"]]
print("on", *gpu["device"].unique())
gpu[["row", "batch", "step_ms", "tokens_per_second", "gpu_gib"]]

# %% [markdown]
# LoRA saved more with 1,024 tokens in a batch than with 4,096, because it also keeps activations of its own. *Gradient
# checkpointing* computes activations again instead of keeping them. Both took longer: on a GPU this fast, steps this
# small mostly wait for Python to start one operation after another (1,024 tokens take as long as 4,096), and both add
# operations.
#
# What the authors of LoRA report for RoBERTa-base on GLUE's dev sets, full fine-tuning against LoRA on queries and
# values ([their repository](https://github.com/microsoft/LoRA)): MNLI 87.6 and 87.5 ± 0.3, SST-2 94.8 and 95.1 ± 0.2,
# QNLI 92.8 and 93.3 ± 0.3, CoLA 63.6 and 63.4 ± 1.2, QQP 91.9 and 90.8 ± 0.1: little difference but for one loss. (The
# numbers of full fine-tuning are those of the RoBERTa paper, not runs of their own.) They also list RTE with 78.7 and
# 86.6 ± 0.7, but there LoRA started from the adapter trained on MNLI and full fine-tuning did not: the gain is that of
# a warm start.
#
# ## Exercise
#
# How many weights does LoRA of rank `r` add to some linear layers? Each layer is given as `(d_in, d_out)`.


# %%
def lora_weights(layers, r):
    return None  # your code


check("lora", lora_weights)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def lora_weights(layers, r):
#     return sum(r * d_in + d_out * r for d_in, d_out in layers)  # A and B; W is frozen
# ```
# </details>
#
# ## Recap
#
# - LoRA adds (alpha / r) *B A* to frozen matrices; ten lines are the method, peft adds dropout, saving and merging.
# - It saves memory for gradients and means, and most of the disk; it saves no time.
# - It wants its own, much higher learning rate.
# - Save the head with it, reload, compare logits; merge in fp32 before you deploy.
#
# The value this lesson is known by in the course's table:

# %%
headline("test weighted F1 of LoRA", bars["LoRA"]["score"] / 100)
