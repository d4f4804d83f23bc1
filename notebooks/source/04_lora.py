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
# - save an adapter with its head, reload it with identical predictions, and merge it into a plain model,
# - avoid the three mistakes that make LoRA look bad: wrong target modules, too low a learning rate, a lost head.
#
# <!-- facts -->
# Measured: default profile 1.3 min, 1.9 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# Fine-tuning changes every weight, so each task ends with a model of full size. LoRA (low-rank adaptation) keeps these
# weights as they are. It learns a small change to some of them, an *adapter*, and saves only that. In this lesson you
# write LoRA by hand, compare it with other methods, and make the usual mistakes on purpose.
#
# The setup cell does nothing if the course is already installed.

# %% Setup
try:
    from nbhelpers import environment
except ImportError:  # on Colab or Kaggle, after:  !git clone <the address of this course> nbhelpers
    from runpy import run_path

    run_path("nbhelpers/notebooks/colab.py")

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
from nbhelpers.course.lesson import check, diagrams, headline, load_splits, quiz, results

transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show
warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # peft 0.21 uses a name that transformers will remove

# %% [markdown]
# This is how a text becomes probabilities. The lesson is about the blue part:

# %%
diagrams.path(["encoder", "head"])

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
# @markdown Rank of the updates; their scaling factor alpha is twice the rank.
r = 16  # @param {type: "integer"}
# @markdown Number of passes over the training data, the same for every method.
num_epochs = 3  # @param {type: "integer"}
# @markdown Peak learning rate of full fine-tuning.
lr = 1e-4  # @param {type: "number"}
# @markdown Peak learning rate of LoRA; IA3 gets ten times as much.
lora_lr = 1e-3  # @param {type: "number"}
# @markdown Peak learning rate of the new head, the same for every method.
head_lr = 1e-2  # @param {type: "number"}
# @markdown Use only this many rows of each split, spread over it; 0 uses all.
num_rows = 600  # @param {type: "integer"}
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
tokenizer, _ = encoders.load(encoder, names)
examples = {split: batching.tokenize(part["text"][:], tokenizer, labels=gold[split]) for split, part in data.items()}
dataloaders = {
    split: batching.make_dataloader(
        examples[split], tokenizer.pad_token_id, batch_size=16, shuffle=split == "train", seed=seed
    )
    for split in data
}

# %% [markdown]
# One function loads the encoder with a new head, two others predict and score a split:


# %%
def new_model(seed=seed):
    environment.set_seed(seed)  # the same random head each time
    return encoders.load(encoder, names)[1].to(device)


def predict(model, split):
    return training.predict(model, dataloaders[split], precision=precision).argmax(-1).numpy()


def weighted_f1(predicted, split):
    return 100 * metrics.scores(gold[split], predicted, len(names))["weighted_f1"]


# %% [markdown]
# ## What full fine-tuning keeps in memory
#
# For each weight that is trained, AdamW needs four numbers: the weight, its gradient, and two moving averages (of the
# gradient and of its square). For a frozen weight it needs one.


# %%
def training_state_bytes(counts):
    """All weights, and for the trainable ones a gradient and two moving averages, in fp32 (4 bytes each)."""
    return 4 * counts["total"] + 3 * 4 * counts["trainable"]


model = new_model()
counts = adapters.num_parameters(model)
print(
    f"{counts['total'] / 1e6:.1f} million weights: {training_state_bytes(counts) / 1e6:.0f} MB if all are trained, "
    f"{4 * counts['total'] / 1e6:.0f} MB if none is"
)
print(f"estimate with everything, for a batch of 4,096 tokens: {environment.training_memory(model, 4096):.1f} GiB")

# %% [markdown]
# The estimate in the last line adds the *activations*: the intermediate results that the backward pass needs. They grow
# with the batch. LoRA needs the same activations and some of its own. So in total it saves less memory than the first
# line suggests, if it saves any.
#
# Is it necessary to train every weight? Pre-training has already found good features, and a new task mostly has to
# combine them in another way. Aghajanyan et al. ([2020](https://arxiv.org/abs/2012.13255)) found that changes in a
# space of few dimensions reach most of the score of full fine-tuning. LoRA
# ([Hu et al. 2021](https://arxiv.org/abs/2106.09685)) builds such changes into the layers.
#
# ## LoRA by hand
#
# A linear layer multiplies its input *x* by a matrix *W* with `d_out` x `d_in` numbers. LoRA freezes *W*. It adds the
# product of two thin matrices, *B* (`d_out` x `r`) and *A* (`r` x `d_in`), times a fixed scale: *W x* + (alpha / r)
# *B A x*. The number `r` is called the *rank*; it is much smaller than `d_in` and `d_out`:

# %%
diagrams.low_rank()

# %% [markdown]
# This is the whole method:


# %%
class Lora(nn.Module):
    def __init__(self, linear, r, alpha):
        super().__init__()
        self.linear, self.scale = linear.requires_grad_(False), alpha / r
        self.A = nn.Parameter(torch.randn(r, linear.in_features) / r)
        self.B = nn.Parameter(torch.zeros(linear.out_features, r))  # zeros, so at first nothing changes

    def forward(self, x):
        return self.linear(x) + self.scale * (x @ self.A.T @ self.B.T)


# %% [markdown]
# The course uses the library peft, through a small helper. The helper knows which layers to change, and that the head
# must be trained as well:

# %%
Code(inspect.getsource(adapters.lora), language="python")

# %% [markdown]
# Do both compute the same? To check it, give peft's *B* random numbers. Then put our class into a second model, with
# peft's *A* and *B*:

# %%
target_layers = target_modules if target_modules == "all" else target_modules.split(",")
lora_options = {"r": r, "alpha": 2 * r, "target_modules": target_layers}
peft_model, hand_model = adapters.lora(new_model(), **lora_options).eval(), new_model().eval()
for name, layer in peft_model.named_modules():
    if isinstance(layer, peft.tuners.lora.Linear):
        nn.init.normal_(layer.lora_B["default"].weight, std=0.02)
        name = name.removeprefix("base_model.model.")
        hand_layer = Lora(hand_model.get_submodule(name), r, 2 * r).to(device)
        hand_layer.A.data = layer.lora_A["default"].weight.data
        hand_layer.B.data = layer.lora_B["default"].weight.data
        hand_model.set_submodule(name, hand_layer)

# %% [markdown]
# Compare the logits of one batch:

# %%
batch = {name: tensor.to(device) for name, tensor in next(iter(dataloaders["dev"])).items() if name != "labels"}
with torch.inference_mode():
    unchanged, by_peft, by_hand = (model(**batch).logits for model in (new_model().eval(), peft_model, hand_model))
print(
    f"by hand and by peft: largest difference of the logits {(by_hand - by_peft).abs().max():.0e}; "
    f"with and without this random change: {(by_hand - unchanged).abs().max():.2f}"
)

# %% [markdown]
# The first difference should be 0 or nearly 0, the second clearly larger.
#
# How many weights does LoRA train? More target modules and a higher rank mean more weights. *Without head* counts only
# what the method itself adds:

# %%
counts = {}
for layers_name, layers in {"all linear layers": "all", "the usual two": None}.items():
    for rank in (8, 16):
        lora_model = adapters.lora(new_model(), r=rank, target_modules=layers)
        counts[f"r = {rank}, {layers_name}"] = adapters.num_parameters(lora_model)
table = pd.DataFrame(counts).T
table.assign(share=(100 * table["trainable"] / table["total"]).round(2).astype(str) + " %")

# %% [markdown]
# The usual two are the layers for queries and values in the attention, as in the original paper. On this small encoder,
# all linear layers add a few percent. In a wider encoder the share is smaller: the matrix of a layer grows with the
# square of its width, and its update only in proportion to the width.
#
# ## Four ways to train
#
# We compare four methods: train only the head, train everything, LoRA, and IA3, which learns one factor for each key,
# value and feed-forward unit ([Liu et al. 2022](https://arxiv.org/abs/2205.05638)). Each method has its own learning
# rate. All have the same learning rate for the head and the same number of epochs, and the weights after the last epoch
# count. The head's default learning rate, 1e-2, was chosen on dev, by hand and with one seed. To see what another one
# does, run the lesson with `head_lr = 1e-3`.

# %%
predictions, rows = {}, {}


def train(model, lr, num_epochs=num_epochs):
    optimizer = training.make_optimizer(model, lr, head_lr=head_lr)
    scheduler = training.make_scheduler(optimizer, num_epochs * len(dataloaders["train"]))
    settings = {"num_epochs": num_epochs, "precision": precision}
    environment.set_seed(seed)
    training.fit(model, dataloaders["train"], objectives.cross_entropy, optimizer, scheduler, **settings)
    return model


# %% [markdown]
# The next function trains and measures one method. The size in megabytes is that of the folder as it is saved.


# %%
def folder_bytes(folder):
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def train_and_measure(name, model, lr):
    start = time.perf_counter()
    train(model, lr)
    seconds = time.perf_counter() - start
    model.save_pretrained(f"saved/{name}")
    dev_f1, counts = weighted_f1(predict(model, "dev"), "dev"), adapters.num_parameters(model)
    predictions[name] = predict(model, "test")  # stored now, scored when all methods are trained
    rows[name] = {"dev": round(dev_f1, 1), "trainable": f"{counts['trainable']:,}"}
    rows[name] |= {"without head": f"{counts['without head']:,}", "seconds": round(seconds)}
    rows[name] |= {"training state MB": round(training_state_bytes(counts) / 1e6)}
    rows[name] |= {"saved MB": round(folder_bytes(f"saved/{name}") / 1e6, 2)}
    print(f"{name}: weighted F1 on dev {dev_f1:.1f}, {seconds:.0f} s")
    return model


# %%
frozen = new_model()
training.freeze_encoder(frozen)
train_and_measure("frozen encoder", frozen, lr)
train_and_measure("full fine-tuning", new_model(), lr)
lora_model = train_and_measure("LoRA", adapters.lora(new_model(), **lora_options), lora_lr)
train_and_measure("IA3", adapters.ia3(new_model()), 10 * lora_lr)
pd.DataFrame(rows).T

# %% [markdown]
# **Exercise.** What percentage of the model's weights, adapter included, did LoRA train? Give two decimals.
# `adapters.num_parameters(lora_model)` counts them.

# %%
percent = None  # your answer
check("04-percent", percent, adapters.num_parameters(lora_model))

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# counts = adapters.num_parameters(lora_model)
# percent = 100 * counts["trainable"] / counts["total"]
# ```
# </details>
#
# All methods are trained, so now test is scored. Each score has a 95 % confidence interval (bootstrap over the test
# rows):

# %%
bars = {}
for name, predicted in predictions.items():
    low, high = metrics.bootstrap_ci(gold["test"], predicted, num_classes=len(names), seed=seed)
    bars[name] = {"score": weighted_f1(predicted, "test"), "low": 100 * low, "high": 100 * high}
plots.score_bars(pd.DataFrame(bars).T, measure="weighted F1 (%)")

# %% [markdown]
# This is one seed, one choice of learning rates and (in the default profile) few training turns. The wide bars show how
# little such a run can tell. At the end of the lesson there are five seeds on all of MELD. Two columns of the table
# above do not depend on chance: how many weights are trained, and how much is saved.
#
# Compare the seconds as well. LoRA still computes every layer forward and passes the gradients back through it. It
# leaves out the gradients of the frozen weights, but it adds two small products to each layer that it adapts. Whether
# that saves time depends on the size of the layers. With this small encoder it saves none, and with steps as small as
# those at the end of the lesson it saves none on a GPU. With larger layers it can: on a CPU, LoRA on queries and values
# of RoBERTa-base takes less time than full fine-tuning. In any case LoRA saves disk, it lets many tasks share one
# encoder, and where the weights are large compared with the batch, it saves memory.
#
# ## Save, reload, merge
#
# The folder of an adapter has the adapter's weights and the head's, but not the encoder:

# %%
{file.name: f"{file.stat().st_size / 1e3:,.1f} kB" for file in sorted(Path("saved/LoRA").iterdir())}

# %% [markdown]
# To reload it, load the same encoder again and put the adapter on it. This model has another random head at first,
# which must make no difference:


# %%
test_dataloader = batching.make_dataloader(examples["test"][:200], tokenizer.pad_token_id, shuffle=False)


def test_logits(model):
    return training.predict(model, test_dataloader)  # in fp32


expected = test_logits(lora_model)
reloaded_adapter = adapters.load_adapter(new_model(seed + 1), "saved/LoRA")
print(f"largest difference of the logits: {(test_logits(reloaded_adapter) - expected).abs().max():.1e}")

# %% [markdown]
# *Merging* adds (alpha / r) *B A* to *W* once. The result is a plain model. It needs no peft, it costs nothing extra
# per text, and its folder looks as after full fine-tuning. Merge in fp32, because bf16 would round small changes away.
# (The tokenizer gets the rules by which the corpus was normalized, as in lesson 3.)

# %%
merged = adapters.merge(reloaded_adapter)
merged.save_pretrained("saved/merged")
corpora.normalizing_tokenizer(tokenizer).save_pretrained("saved/merged")
reloaded = encoders.load_trained("saved/merged")[1].to(device)
for name, model in (("merged", merged), ("merged, saved and reloaded", reloaded)):
    print(f"{name}: largest difference of the logits {(test_logits(model) - expected).abs().max():.0e}")
print(f"a {type(reloaded).__name__} of {folder_bytes('saved/merged') / 1e6:.0f} MB")

# %% [markdown]
# The small differences are rounding. Save the adapter while you experiment. Save the merged model where it will be
# served or exported.
#
# ## What goes wrong
#
# ### A target module that does not exist
#
# Recipes for language models name the layers `q_proj` and `v_proj`. Encoders such as BERT and RoBERTa have no layers of
# that name. What do our helper and peft say?


# %%
def error_message(function):
    try:
        function()
        return "no error"
    except ValueError as error:
        return str(error)


def peft_alone(*target_modules):
    return peft.get_peft_model(new_model(), peft.LoraConfig(target_modules=list(target_modules)))


existing = adapters.linear_layers(new_model())[0].split(".")[-1]
print("adapters.lora, q_proj:", error_message(lambda: adapters.lora(new_model(), target_modules="q_proj")))
print("peft alone, q_proj:", error_message(lambda: peft_alone("q_proj")))
print(f"peft alone, {existing} and v_proj:", error_message(lambda: peft_alone(existing, "v_proj")))

# %% [markdown]
# peft stops if no name exists. If one of two names exists, it says nothing and adapts half of what you asked for.
#
# ### The learning rate of full fine-tuning
#
# The most frequent mistake is to add LoRA and keep everything else. *B* starts at zero, and each step moves both
# matrices by about the learning rate. So with a low learning rate their product stays tiny. The next cell trains the
# same LoRA with the learning rate of full fine-tuning and the same head, and scores it on dev:

# %%
slow = train(adapters.lora(new_model(), **lora_options), lr)
print(f"LoRA at {lr:g}: weighted F1 on dev {weighted_f1(predict(slow, 'dev'), 'dev'):.1f}")
for name, rate in (("LoRA", lora_lr), ("full fine-tuning", lr), ("frozen encoder", 0)):
    print(f"{name} at {rate:g}: {rows[name]['dev']:.1f}")

# %% [markdown]
# How far is it above the frozen encoder? Only that difference comes from LoRA; the rest comes from the head. Many
# programs have a single learning rate, and then the head would learn slowly as well.
#
# The authors' own [recipes](https://github.com/microsoft/LoRA/tree/main/examples/NLU) for RoBERTa use 2e-4 to 5e-4.
# That is 10 to 40 times what is usual for full fine-tuning there. They train for 10 to 80 epochs. The embedded encoder
# is small and tolerates 1e-3.
#
# ### The lost head
#
# Without a task type and without `modules_to_save`, peft freezes the head as well. If you notice it, you may set the
# head to trainable by hand, train, see a good score, and save. But peft saves only the modules that it knows of:

# %%
layers = adapters.pattern(new_model(), target_layers, adapters.QUERY_VALUE)  # the same layers as above
config = peft.LoraConfig(r=r, lora_alpha=2 * r, target_modules=layers)
careless = peft.get_peft_model(new_model(), config)
careless.get_base_model().classifier.requires_grad_(True)
train(careless, lora_lr, num_epochs=1)
careless.save_pretrained("saved/careless")
returned = peft.PeftModel.from_pretrained(new_model(seed + 1), "saved/careless")
for name, model in (("trained", careless), ("saved and reloaded", returned)):
    print(f"{name}: weighted F1 on dev {weighted_f1(predict(model, 'dev'), 'dev'):.1f}")

# %% [markdown]
# There is no error and no warning, but the reloaded model has a new random head. If you put the adapter back on the
# same model object, you do not see the fault, because that object still has the trained head. So test in a new process.
# `adapters.lora` lists the layers of the head in `modules_to_save`, and `load_adapter` refuses such a folder:

# %%
print(error_message(lambda: adapters.load_adapter(new_model(), "saved/careless")))

# %% [markdown]
# peft's `task_type="SEQ_CLS"` saves modules named `classifier` or `score`, but not BERT's pooler, and its default
# target modules for RoBERTa are only queries and values. Whatever you use, reload the model once and compare the logits
# before you rely on it.
#
# ## QLoRA: the frozen weights in 4 bits
#
# QLoRA ([Dettmers et al. 2023](https://arxiv.org/abs/2305.14314)) stores each frozen weight in 4 bits and trains LoRA
# on top in higher precision. With it, models of billions of weights fit on one GPU. It needs the library bitsandbytes.
# The head must not be quantized, because quantized weights cannot be trained.


# %%
def load_in_4_bits():
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=training.DTYPES[precision],
        llm_int8_skip_modules=adapters.heads(new_model()),
    )
    return encoders.load(encoder, names, quantization_config=config)[1].to(device)


# %%
def train_qlora(num_texts=128):
    model = load_in_4_bits()
    mb_before, mb_after = (each.get_memory_footprint() / 1e6 for each in (new_model(), model))
    # This freezes all weights, so it must come before LoRA adds trainable ones.
    model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model = adapters.lora(model, **lora_options).to(device)
    dataloader = batching.make_dataloader(
        examples["train"][:num_texts], tokenizer.pad_token_id, batch_size=16, seed=seed
    )
    optimizer = training.make_optimizer(model, lora_lr, head_lr=head_lr)
    scheduler = training.make_scheduler(optimizer, len(dataloader))
    settings = {"num_epochs": 1, "precision": precision}
    history = training.fit(model, dataloader, objectives.cross_entropy, optimizer, scheduler, **settings)
    print(f"weights {mb_before:.0f} MB, in 4 bits {mb_after:.0f} MB")
    print(f"{len(dataloader)} updates, last loss {history[-1]['train_loss']:.2f}")
    if device.type == "cuda":
        print(f"peak GPU memory since this lesson began: {torch.cuda.max_memory_allocated() / 1e6:.0f} MB")


# %%
if importlib.util.find_spec("bitsandbytes"):
    train_qlora()
else:
    print("Not run here: bitsandbytes is not installed (pip install bitsandbytes), so nothing was quantized.")

# %% [markdown]
# This function was run on a CPU with bitsandbytes 0.50.2, where the weights of the embedded encoder went from 90 to 53
# MB. **It was not run on a GPU.** The gain is small for two reasons. Half of that encoder consists of word embeddings,
# which stay as they are. And with thousands of tokens in a batch, the activations take more memory than the weights.
# For encoders of this size, or ten times as large, plain LoRA is enough.
#
# ## Prefix tuning
#
# Prefix tuning ([Li and Liang 2021](https://arxiv.org/abs/2101.00190)) does not change any layer. It learns keys and
# values that every layer sees before the text, as if they were more tokens. For classifiers, peft 0.21 supports it only
# with a head on the first token. (Around an encoder without a head, as task type FEATURE_EXTRACTION, it would work with
# mean pooling as well.) So for mean pooling our helper raises an error:

# %%
print("mean:", error_message(lambda: adapters.prefix(encoders.load(encoder, names, pooling="mean")[1])))
model = adapters.prefix(encoders.load(encoder, names, pooling="cls")[1].to(device))
print("cls:", adapters.num_parameters(model))
dataloader = batching.make_dataloader(examples["train"][:16], tokenizer.pad_token_id, batch_size=16)
optimizer = training.make_optimizer(model, 1e-2, head_lr=1e-3)
scheduler = training.make_scheduler(optimizer, num_steps=15)
settings = {"num_epochs": 15, "precision": precision}
history = training.fit(model, dataloader, objectives.cross_entropy, optimizer, scheduler, **settings)
print(f"loss on 16 texts: {history[0]['train_loss']:.2f}, after 14 updates {history[-1]['train_loss']:.2f}")

# %% [markdown]
# The loss falls, so the prefix and the head learn.
#
# ## Where this stands
#
# The table shows the same methods on all of MELD, with four epochs each. "Without head" counts what the method itself
# adds. The head's learning rate is 1e-3 for full fine-tuning and 1e-2 for the others. Reproduce it with
# `nbhelpers results meld`; its settings are in `nbhelpers/course/tables/meld.yml`.

# %%
methods = ["utterance only", "frozen encoder", "LoRA", "LoRA at the rate of full fine-tuning", "IA3"]
results.summary("meld", rows=methods, costs=True)

# %% [markdown]
# Look at the memory as well ("GiB"). With a small encoder, the activations that LoRA adds can take more than it saves
# on gradients and moving averages.
#
# And on a GPU? The next table measures one training step of a model with the architecture of roberta-large: 355 million
# weights, with random values, because speed and memory do not depend on the values. LoRA has r = 16 on all layers. The
# matrix products run in bf16, and the weights and the optimizer are in fp32. Reproduce it with
# `python tests/benchmarks/gpu.py`.

# %%
gpu = pd.DataFrame(results.read("gpu")).query("row.str.contains('large.*(?:turns|tokens|LoRA|checkpointing)$')")
gpu["batch"] = [f"{num_texts} x {num_tokens} tokens" for num_texts, num_tokens in gpu["batch"]]
print("on", *gpu["device"].unique())
gpu[["row", "batch", "step_ms", "tokens_per_second", "gpu_gib"]]

# %% [markdown]
# LoRA saved more with 1,024 tokens in a batch than with 4,096, because it also keeps activations of its own.
# *Gradient checkpointing* computes activations again instead of keeping them. Both took longer. On a GPU this fast,
# steps this small mostly wait for Python to start one operation after another (1,024 tokens take as long as 4,096), and
# both methods add operations.
#
# The authors of LoRA report these scores for RoBERTa-base on the dev sets of GLUE, for full fine-tuning and for LoRA on
# queries and values ([their repository](https://github.com/microsoft/LoRA)):
#
# | task | full fine-tuning | LoRA |
# |---|---|---|
# | MNLI | 87.6 | 87.5 ± 0.3 |
# | SST-2 | 94.8 | 95.1 ± 0.2 |
# | QNLI | 92.8 | 93.3 ± 0.3 |
# | CoLA | 63.6 | 63.4 ± 1.2 |
# | QQP | 91.9 | 90.8 ± 0.1 |
#
# There is little difference, except for a loss on QQP. (The numbers of full fine-tuning are those of the RoBERTa paper,
# not their own runs.) They also list RTE with 78.7 and 86.6 ± 0.7. But there LoRA started from the adapter that was
# trained on MNLI, and full fine-tuning did not, so the gain comes from the better start.
#
# ## Exercises
#
# Write your answer, and run the cell. A wrong answer gets a hint, which grows with each try.
#
# **1.** How many weights does LoRA of rank `r` add to some linear layers? Each layer is given as `(d_in, d_out)`.


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
# **2.** Merge one row. You get a row `w` of the matrix *W*, the same row `b` of *B*, the matrix `A` as a list of its
# `r` rows, and `alpha`. Return the row of *W* + (alpha / r) *B A* as a list.


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
# - LoRA adds (alpha / r) *B A* to frozen matrices. Ten lines are the method; peft adds dropout, saving and merging.
# - It saves memory for gradients and moving averages, and most of the disk space. With small layers it saves no time.
# - It needs its own, much higher learning rate.
# - Save the head with the adapter, reload it, and compare the logits. Merge in fp32 before you deploy.
#
# Next: [5. R-Drop](05_rdrop.ipynb). The last cell gives the number that `nbhelpers run` shows for this lesson in its
# table.

# %%
headline("test weighted F1 of LoRA", bars["LoRA"]["score"] / 100)
