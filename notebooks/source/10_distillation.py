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
# # 10. Small models: distillation and pruning
#
# *"jacket i sent back march 2 no refund. jacket i ordered march 2 no jacket"*. The label of this message to a shop is
# "return or refund", and a large model gets it right. But suppose that the model takes 30 milliseconds on the shop's
# small server, which can spare only ten. What can be removed from the model? And the message has a second half, about
# an order, of which the label says nothing. Can the large model tell a small one what the label does not?
#
# After this lesson you can
#
# - make a small model from a large one and train it with the large one as its teacher, also on texts without labels,
# - remove layers, hidden units and attention heads so that size and time really fall, and know what saves nothing,
# - compare small models fairly: equal updates, a control without a teacher, and size, time and score in one table.
#
# You should know logits, the cross-entropy and the KL divergence ([lesson 3](03_baseline.ipynb),
# [lesson 5](05_rdrop.ipynb)), and what ONNX and int8 are ([lesson 7](07_deployment.ipynb)).
#
# <!-- facts -->
# Measured: default profile 2.3 min, 2.5 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | The original, and what could go | 2 |
# | What a teacher tells beyond the label | 4 |
# | A student with half of the layers | 4 |
# | Pruning: smaller layers | 4 |
# | Together: distill, prune, round | 2 |
# | What distillation brought, measured | 1 |
# | What goes wrong | 3 |
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
# The picture shows how a text becomes probabilities. This lesson makes the encoder smaller, and it uses more of what
# comes out at the end than the predicted class.

# %%
from nbhelpers.course.lesson import LiveTraining, check, diagrams, explore, headline, load_splits, quiz, results

diagrams.path(["encoder", "softmax"])

# %%
from functools import partial

import pandas as pd
import torch
import transformers
from torch.nn import functional as F

from nbhelpers import batching, corpora, distillation, encoders, environment, export, metrics, objectives, plots
from nbhelpers import pruning, training

pd.set_option("display.max_colwidth", 120, "display.html.use_mathjax", False)
transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show

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
# @markdown "embedded", a local folder, or a name on the Hub such as "roberta-base". The students are parts of it.
encoder = "embedded"  # @param {type: "string"}
# @markdown A larger teacher, such as "embedded-base" (an extra); if empty, the encoder above is the teacher.
teacher = ""  # @param {type: "string"}
# @markdown What the head receives: the "mean" of all token vectors, or "cls", the vector of the first token.
pooling = "mean"  # @param ["mean", "cls"]
# @markdown Number of passes over the labeled texts.
num_epochs = 4  # @param {type: "integer"}
# @markdown Peak learning rate (a new head has ten times as much); roberta-large needs about 0.00001.
lr = 2e-4  # @param {type: "number"}
# @markdown Peak learning rate of a larger teacher.
teacher_lr = 3e-5  # @param {type: "number"}
# @markdown Temperature of the distillation loss.
temperature = 2.0  # @param {type: "number"}
# @markdown The teacher's share of the loss, from 0 to 1.
alpha = 0.9  # @param {type: "number"}
# @markdown Largest number of texts in a batch.
batch_size = 16  # @param {type: "integer"}
# @markdown Longer texts are truncated to this many tokens.
max_length = 128  # @param {type: "integer"}
# @markdown Share of the training texts whose labels are used, below 1; of the others, only the texts are used.
labeled_share = 0.5  # @param {type: "number"}
# @markdown Use only this many rows of each split, spread over it; 0 uses all.
num_rows = 560  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# Most owners of a classifier have few labeled texts and many without a label. To imitate this situation, the lesson
# hides the labels of some training texts:

# %%
data = load_splits(corpus, num_rows, text=text, label=label, dialogue=dialogue, seed=seed)
names = data["train"].features["label"].names
texts = {split: part["text"][:] for split, part in data.items()}
gold = {split: torch.tensor(part["label"][:]) for split, part in data.items()}

# %%
order = torch.randperm(len(texts["train"]), generator=torch.Generator().manual_seed(seed)).tolist()
cut = round(labeled_share * len(order))
for part, rows in {"labeled": order[:cut], "unlabeled": order[cut:]}.items():
    texts[part], gold[part] = [texts["train"][row] for row in rows], gold["train"][rows]
splits = ("labeled", "unlabeled", "dev", "test")
{split: len(texts[split]) for split in splits}

# %% [markdown]
# ## The original, and what could go
#
# First fine-tune the encoder with all of its layers on the labeled texts, as in [lesson 3](03_baseline.ipynb). This
# lesson calls the result the *original*.

# %%
device = environment.best_device()
precision, _ = environment.best_precision(device)


def new_model(name):
    environment.set_seed(seed)  # the same random head each time
    tokenizer, model = encoders.load(name, names, pooling=pooling)
    encoders.use_fast_layers(model.to(device), device, precision)
    return corpora.normalizing_tokenizer(tokenizer), model


# %%
def tokenize(split, tokenizer):
    labels = None if split == "unlabeled" else gold[split].tolist()
    return batching.tokenize(texts[split], tokenizer, labels=labels, max_length=max_length)


# %%
def make_loader(examples, tokenizer, shuffle=False):
    options = {"batch_size": batch_size, "shuffle": shuffle, "seed": seed}
    return batching.make_dataloader(examples, tokenizer.pad_token_id, **options)


# %%
tokenizer, original = new_model(encoder)
examples = {split: tokenize(split, tokenizer) for split in splits}
loaders = {split: make_loader(part, tokenizer, split == "labeled") for split, part in examples.items()}

# %% [markdown]
# Every training of this lesson goes through one function. It keeps the weights of the last epoch, so no epoch is chosen
# by its dev score. `attach` can add something to the optimizer. For the original, this notes how the weights move,
# which the part on pruning needs.


# %%
def train(model, loader, objective, num_epochs, lr=lr, head_lr=lr, attach=None):
    environment.set_seed(seed)
    optimizer = training.make_optimizer(model, lr, head_lr=head_lr)
    attached = attach(model, optimizer) if attach else None
    scheduler = training.make_scheduler(optimizer, num_epochs * len(loader))
    settings = {"num_epochs": num_epochs, "precision": precision, "log": LiveTraining(num_epochs)}
    training.fit(model, loader, objective, optimizer, scheduler, **settings)
    return attached


# %%
def dev_f1(model):
    predicted = training.predict(model, loaders["dev"], precision=precision).argmax(-1)
    return 100 * metrics.scores(gold["dev"], predicted, len(names))["weighted_f1"]


# %%
settings = {"num_epochs": num_epochs, "head_lr": 10 * lr, "attach": pruning.track_movement}
movement = train(original, loaders["labeled"], objectives.cross_entropy, **settings)
print(f"weighted F1 on dev: {dev_f1(original):.1f} %")

# %% [markdown]
# The small models are compared with this score. What is the model made of? Count the parameters of its parts:


# %%
def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


# %%
layers = distillation.encoder_layers(original)
sizes = {"layers": len(layers), "embeddings": count(original.get_input_embeddings()), "each layer": count(layers[0])}
sizes["rest"] = count(original) - sizes["embeddings"] - len(layers) * sizes["each layer"]
sizes

# %% [markdown]
# The embeddings are a table with a vector for each token of the vocabulary. In small encoders this table is a large
# part of the model. But it takes almost no time: a text only looks up its own rows. The layers take the time. The
# *rest* is the vectors of the positions, the head and small parts.
#
# **Exercise.** How many parameters does a student with half of the layers (`layers // 2`) have?

# %%
num_parameters = None  # your answer; `sizes` has the numbers above
check("10-size", num_parameters, sizes)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# num_parameters = sizes["embeddings"] + sizes["layers"] // 2 * sizes["each layer"] + sizes["rest"]
# ```
# </details>
#
# Now measure it. `distillation.truncate` copies a model with only some of its layers. The time is that of a single
# text in torch on this machine. One try takes the median of 20 texts, and the best of six tries is shown:


# %%
def milliseconds(model):
    logits_fn = export.make_logits_fn(model)
    tries = [export.speed(logits_fn, loaders["dev"], num_examples=20)["ms per example"] for _ in range(6)]
    return min(tries)  # other programs can only make a try slower


# %%
half = len(layers) // 2
every_second = list(range(0, len(layers), 2))[:half]
truncated = distillation.truncate(original, every_second)
models = {f"{len(layers)} layers": original, f"{half} layers": truncated}
rows = {name: [count(model) / 1e6, milliseconds(model)] for name, model in models.items()}
pd.DataFrame(rows, ["million parameters", "ms per text"]).T.round(1)

# %% [markdown]
# Compare the columns: without half of the layers, the time falls to about a half, but more than half of the parameters
# remain. The rest of the lesson asks what such a cut does to the score.
#
# ## What a teacher tells beyond the label
#
# A *teacher* is a trained model that shows a smaller one, the *student*, what to predict. In this lesson the teacher is
# the original, unless you chose a larger one above. Its logits are computed once, for all texts:

# %%
teacher_tokenizer, teacher_model = tokenizer, original
if teacher:
    teacher_tokenizer, teacher_model = new_model(teacher)
    loader = make_loader(tokenize("labeled", teacher_tokenizer), teacher_tokenizer, shuffle=True)
    train(teacher_model, loader, objectives.cross_entropy, num_epochs, teacher_lr, 10 * teacher_lr)

# %%
distillation.check_same_labels(teacher_model, original)  # in the same order
teacher_logits = {}
for split in splits:
    loader = make_loader(tokenize(split, teacher_tokenizer), teacher_tokenizer)
    teacher_logits[split] = training.predict(teacher_model, loader, precision=precision)

# %% [markdown]
# Look for the dev text with the largest *second* probability. What do the label and the teacher say about it?

# %%
second = teacher_logits["dev"].softmax(-1).topk(2).values[:, 1]
ambiguous = second.argsort(descending=True)[:3].tolist()
row = ambiguous[0]
print(texts["dev"][row])
shown = torch.stack([F.one_hot(gold["dev"][row], len(names)).float(), teacher_logits["dev"][row].softmax(-1)])
plots.class_probabilities(pd.DataFrame(shown.numpy(), ["label", "teacher"], names))

# %% [markdown]
# The label says that one class is right and that all others are equally wrong. The teacher also says *which* other
# class comes close. This is what a student can learn beyond the label. Ask the teacher about the message from the top,
# or about a text of your own with two requests:


# %%
def probabilities_of(text, model, tokenizer):
    batch = batching.Collator(tokenizer.pad_token_id)(batching.tokenize([text], tokenizer, max_length=max_length))
    with torch.no_grad(), training.autocast(device, precision):
        logits = model.eval()(**{name: tensor.to(device) for name, tensor in batch.items()}).logits
    return logits[0].float().softmax(-1).tolist()


# %%
def ask_teacher(text):
    return plots.class_probabilities(
        pd.DataFrame([probabilities_of(text, teacher_model, teacher_tokenizer)], ["teacher"], names)
    )


# %%
message = "jacket i sent back march 2 no refund. jacket i ordered march 2 no jacket"
explore(ask_teacher, text=message)

# %% [markdown]
# ### Temperature
#
# Trained models are often very sure of one class, and then the probabilities of the others almost vanish. A
# *temperature* T brings them back: it divides all logits before the softmax, as in [lesson 3](03_baseline.ipynb), but
# here during training. Three logits by hand:

# %%
three = torch.tensor([6.0, 3.0, 0.0])
softened = {f"T = {t}": (three / t).exp() / (three / t).exp().sum() for t in (1, 2, 4)}
pd.DataFrame(softened, ["class 1", "class 2", "class 3"]).T.astype(float).round(3)

# %% [markdown]
# The order of the classes stays. A higher temperature brings their probabilities closer together, and a student sees
# that class 2 is more likely than class 3.
#
# **Exercise.** Write this softmax as a function of a list of logits and the temperature. It returns a list.


# %%
def softmax_with_temperature(logits, temperature):
    return None  # your code


check("10-temperature", softmax_with_temperature)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def softmax_with_temperature(logits, temperature):
#     powers = [math.exp((logit - max(logits)) / temperature) for logit in logits]
#     return [power / sum(powers) for power in powers]
# ```
# </details>
#
# ### The loss
#
# The student learns from the label and from the teacher ([Hinton et al. 2015](https://arxiv.org/abs/1503.02531)):
#
#     loss = (1 - alpha) * CE(label, p) + alpha * T^2 * KL(q_T || p_T)
#
# p are the probabilities of the student. p_T and q_T are those of student and teacher with the temperature T. KL is the
# divergence of [lesson 5](05_rdrop.ipynb): 0 if both are equal. Alpha is the teacher's share. With alpha = 1 no label
# is needed, and with alpha = 0 no teacher. (*Hidden states* are explained below.)

# %%
diagrams.teacher_student()

# %% [markdown]
# By hand, for one text with three classes, whose label is class 1:

# %%
student_logits, logits_of_teacher = torch.tensor([1.0, 1.0, 0.0]), torch.tensor([4.0, 2.0, 0.0])


def kl_by_hand(student_logits, t):
    q, p = (logits_of_teacher / t).softmax(-1), (student_logits / t).softmax(-1)
    return (q * (q.log() - p.log())).sum()


# %%
ce = -student_logits.softmax(-1)[0].log()
by_hand = 0.4 * ce + 0.6 * 2**2 * kl_by_hand(student_logits, 2)  # alpha 0.6, T 2
one_row = student_logits[None], logits_of_teacher[None], torch.tensor([0])
helper = distillation.distillation_loss(*one_row, temperature=2, alpha=0.6)
print(f"by hand {by_hand:.6f}, by the helper {helper:.6f}")

# %% [markdown]
# Both agree up to rounding. Why T²? The temperature makes both predictions similar, so the KL becomes small, and so
# does its gradient. A higher temperature would then also be a weaker teacher. Here is its pull: the norm (the length)
# of the gradient with respect to the student's logits.


# %%
def gradient_norm(loss_of):
    logits = student_logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(logits), logits)
    return gradient.norm().item()


# %%
norms = {
    f"T = {t}": {
        "KL": gradient_norm(lambda x, t=t: kl_by_hand(x, t)),
        "T² KL": gradient_norm(lambda x, t=t: t**2 * kl_by_hand(x, t)),
    }
    for t in (1, 2, 4)
}
pd.DataFrame(norms).T.round(3)

# %% [markdown]
# Without T², the teacher's pull falls to a fraction. With it, the pull keeps about its size, so a new temperature does
# not need a new alpha.
#
# ### Move temperature and alpha
#
# Here are the three dev texts with the largest second probability, with the teacher and a student that was not trained
# yet (the one with half of the layers). Before you move anything: which number in the table will not change with the
# temperature?

# %%
untrained_logits = training.predict(truncated, loaders["dev"], precision=precision)


def show_target(temperature=2.0, alpha=0.5, text=ambiguous[0]):
    q, p = ((x["dev"][text] / temperature).softmax(-1) for x in (teacher_logits, {"dev": untrained_logits}))
    right = gold["dev"][text]
    ce, kl = F.cross_entropy(untrained_logits[text], right), (q * (q / p).log()).sum()
    target = (1 - alpha) * F.one_hot(right, len(names)) + alpha * q
    rows = {"CE": ce, "KL": kl, "T² KL": temperature**2 * kl}
    rows["loss"] = (1 - alpha) * ce + alpha * rows["T² KL"]
    bars = pd.DataFrame(torch.stack([target, q, p]).numpy(), ["target", "teacher at T", "student at T"], names)
    return [plots.class_probabilities(bars), pd.DataFrame({name: [f"{value:.3f}"] for name, value in rows.items()})]


# %%
options = {f"{texts['dev'][row][:50]} ({names[gold['dev'][row]]})": row for row in ambiguous}
explore(show_target, temperature=(0.5, 8.0, 0.5), alpha=(0.0, 1.0, 0.1), text=options)

# %% [markdown]
# *Target* mixes the label and the teacher with the weights 1 − alpha and alpha. At T = 1 the student is trained toward
# exactly this mixture. The CE has no temperature, so it stays. Where teacher and label disagree, alpha decides which
# one the student follows.
#
# ### Where the teacher has something to say
#
# How sure is the teacher, on average, on the texts that it was trained on, and on others?

# %%
rows = {}
for split in ("labeled", "unlabeled", "dev"):
    probabilities = teacher_logits[split].softmax(-1)
    rows[split] = {"confidence (%)": probabilities.amax(-1).mean().item() * 100}
    rows[split]["accuracy (%)"] = 100 * (probabilities.argmax(-1) == gold[split]).float().mean().item()
pd.DataFrame(rows).T.round(1)

# %% [markdown]
# On its own training texts, a teacher that was trained long enough nearly repeats the labels, which the student knows
# already. On other texts it is less sure, and tells more. So a text without a label can teach a student more than a
# labeled one. But the teacher is also wrong more often there. (Only the hidden labels make that visible.)
#
# ## A student with half of the layers
#
# ### Which layers?
#
# A student could start from random weights, but then it would have to learn the language from your few texts. So it
# starts with layers of a trained model. Which ones?

# %%
middle = (len(layers) - half) // 2
layer_sets = {
    "lower": list(range(half)),
    "upper": list(range(len(layers) - half, len(layers))),
    "every second": every_second,
    "middle": list(range(middle, middle + half)),
    "both ends": [*range(half - 1), len(layers) - 1],
}
diagrams.student_layers(layer_sets, len(layers))

# %% [markdown]
# All five start from the original, with its head. Their score before any training shows how well the layers cope with
# inputs of a kind that they have not seen. Then each student is trained a little, on the labels alone:

# %%
students = {name: distillation.truncate(original, kept) for name, kept in layer_sets.items()}
layer_table = pd.DataFrame({"before": {name: dev_f1(student) for name, student in students.items()}})
few_epochs = max(1, num_epochs // 3)
for name, student in students.items():
    train(student, loaders["labeled"], objectives.cross_entropy, few_epochs)
    layer_table.loc[name, "after"] = dev_f1(student)

# %%
print(f"the original: {dev_f1(original):.1f} %")
layer_table.round(1)

# %% [markdown]
# This is the weighted F1 on dev (%) before and after the short training. A low score before it does not make a student
# useless: a few updates may bring much of it back. [Sajjad et al. 2020](https://arxiv.org/abs/2004.03844) dropped up to
# 40 % of the layers of pretrained encoders and kept up to 98 % of the scores; the lower layers mattered most.
#
# **Exercise.** Which set has the highest score *before* any training?

# %%
best_layers = None  # the name of a row, in quotation marks
check("10-layers", best_layers, layer_table)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# best_layers = layer_table["before"].idxmax()
# ```
# </details>
#
# ### With and without the teacher
#
# Take the set with the best dev score after the short training. Train it again, from before that training, in three
# ways:
#
# - *labels only*: alpha = 0, so the teacher has no effect. This is the *control*.
# - *teacher*: the same texts, with the parameters `alpha` and `temperature`.
# - *teacher, more texts*: also the texts without labels, in fewer epochs, so that there are about as many updates.
#
# `add_teacher_logits` puts the teacher's logits into the examples. A text without a label has only the KL term.

# %%
soft = {split: distillation.add_teacher_logits(examples[split], teacher_logits[split]) for split in splits[:2]}
with_labels = make_loader(soft["labeled"], tokenizer, shuffle=True)
with_more = make_loader(soft["labeled"] + soft["unlabeled"], tokenizer, shuffle=True)

# %%
distill = partial(distillation.distill, temperature=temperature, alpha=alpha)
plans = {  # objective, texts, epochs
    "labels only": (partial(distill, alpha=0.0), with_labels, num_epochs),
    "teacher": (distill, with_labels, num_epochs),
    "teacher, more texts": (distill, with_more, max(1, round(num_epochs * labeled_share))),
}

# %%
chosen, runs = layer_table["after"].idxmax(), {}
students = {name: distillation.truncate(original, layer_sets[chosen]) for name in plans}
for name, (objective, loader, epochs) in plans.items():
    train(students[name], loader, objective, epochs)
    runs[name] = {"updates": epochs * len(loader), "weighted F1 on dev": dev_f1(students[name])}
print(f"layers {layer_sets[chosen]} ({chosen})")
pd.DataFrame(runs).T.round(1)

# %% [markdown]
# The first two rows answer whether the teacher helps on the same texts. The third adds what it says about other texts,
# but reads each labeled text less often. These are single runs on few dev rows. So compare them on test, with intervals
# (above zero: better than *labels only*). If zero is in an interval, these rows do not show a difference. An interval
# below zero means that the teacher did harm here: a student also learns its teacher's mistakes. Another seed may show
# the opposite; the table of results below has several.

# %%
logits = {name: training.predict(student, loaders["test"], precision=precision) for name, student in students.items()}
logits["original"] = training.predict(original, loaders["test"], precision=precision)
predictions = {name: table.argmax(-1) for name, table in logits.items()}

# %%
for name in ("teacher", "teacher, more texts", "original"):
    pair = predictions["labels only"], predictions[name]
    result = metrics.paired_bootstrap(gold["test"], *pair, num_classes=len(names), seed=seed)
    difference, low, high = (100 * result[key] for key in ("difference", "low", "high"))
    print(f"{name}, against labels only: {difference:+.1f} points of F1, 95 % interval {low:+.1f} to {high:+.1f}")

# %% [markdown]
# The control is strong: it started from layers of the original, so part of what that learned was in its weights from
# the beginning. Now ask three models about a text with two requests. Does the student with a teacher give the class of
# the second one more than the control does?


# %%
def three_models(text):
    asked = {"original": original} | {name: students[name] for name in ("labels only", "teacher, more texts")}
    rows = [probabilities_of(text, model, tokenizer) for model in asked.values()]
    return plots.class_probabilities(pd.DataFrame(rows, [*asked], names))


explore(three_models, text=message)

# %% [markdown]
# ### Several teachers
#
# Models of different seeds make different mistakes, so their mean is usually a better teacher than each of them. Take
# the mean of their *probabilities*. In the mean of the logits, one teacher with large logits outvotes two others:

# %%
teachers = [torch.tensor([[9.0, 0.0]]), torch.tensor([[0.0, 1.5]]), torch.tensor([[0.0, 1.5]])]
means = {"of the logits": sum(teachers) / 3, "of the probabilities": distillation.average_logits(teachers)}
pd.DataFrame({name: x.softmax(-1)[0] for name, x in means.items()}, ["class 1", "class 2"]).T.astype(float).round(3)

# %% [markdown]
# ### Hidden states
#
# A student can also learn to have the same *hidden states* (the vectors that a layer puts out) as its teacher.
# `hidden_state_loss` is their mean squared difference. If the vectors differ in length, a *projection* makes them
# equal: a linear layer that is also trained, and thrown away afterwards. Texts must have the same tokens in both
# models, so the teacher here is the original. `relation_loss` is a KL that compares only how tokens relate to each
# other, so it needs no projection. ([MiniLM](https://arxiv.org/abs/2002.10957) does this with queries, keys and
# values.)


# %%
def hidden_losses(student, batch):
    inputs = {name: batch[name].to(device) for name in ("input_ids", "attention_mask")}
    kept = []
    for model in (student, original):
        with torch.no_grad(), distillation.record_outputs([distillation.encoder_layers(model)[-1]]) as outputs:
            model.eval()(**inputs)
        kept.append(outputs[0])
    mask, heads = inputs["attention_mask"], original.config.num_attention_heads
    hidden = distillation.hidden_state_loss(*kept, mask, torch.nn.Identity())  # the same width: no projection
    pairs = [(x, x) for x in kept]
    return {"hidden states": hidden.item(), "relations": distillation.relation_loss(*pairs, mask, heads).item()}


# %%
batch = next(iter(loaders["dev"]))
pd.DataFrame(
    {"untrained": hidden_losses(truncated, batch)} | {n: hidden_losses(m, batch) for n, m in students.items()}
).T.round(3)

# %% [markdown]
# Equal models have 0. No student was trained for these losses. If those with a teacher are not clearly below *labels
# only*, the teacher's logits did not make the hidden states more similar. As an objective, add them to the loss on the
# logits; the docstring of `nbhelpers.distillation` shows how.
#
# ## Pruning: smaller layers
#
# *Pruning* removes parts of a trained model. There are two kinds, and only one of them makes a model smaller.
#
# ### Weights set to zero
#
# `prune_weights` sets the weights of smallest size to zero, over all layers together. Tutorials call the result "90 %
# smaller" and faster. Measure it:


# %%
def row_of(name, model):
    with encoders.quiet():
        model.save_pretrained(name)
    return {"MiB": export.size_mib(name), "ms per text": milliseconds(model), "weighted F1 on dev": dev_f1(model)}


# %%
rows = {"original": row_of("original", original)}
for amount in (0.5, 0.9):
    rows[f"{amount:.0%} zeros"] = row_of(f"zeros {amount}", pruning.prune_weights(original, amount))
pd.DataFrame(rows).T.round(1)

# %% [markdown]
# The file has the same size, because a zero is a number of four bytes like any other. The time is the same up to noise,
# because a dense matrix product multiplies zeros as well. (So compare times only within a table.) Only special software
# or hardware gains from zeros. They tell you something else: how much of a model is not needed.
#
# *Which* weights to set to zero? *Magnitude* keeps the large ones. Most of them are large because of pretraining.
# *Movement* ([Sanh et al. 2020](https://arxiv.org/abs/2005.07683)) keeps those that your task moves away from zero. Its
# score is minus the sum of weight × gradient over the updates. Four weights in one update:

# %%
weight, gradient = torch.tensor([2.0, 0.1, -0.1, -2.0]), torch.tensor([0.5, -0.5, 0.5, -0.5])
moved = weight - 0.1 * gradient
pd.DataFrame({"weight": weight, "after the update": moved, "magnitude": weight.abs(), "movement": -weight * gradient})

# %% [markdown]
# Weights 1 and 2 are small, but they move away from zero, so movement keeps them. Magnitude keeps the two large ones,
# which shrink. The movement of the original was noted during its training. Set 60 % of its weights to zero in both
# ways, and train again. `keep_zeros` holds the zeros; otherwise the first update would change them.

# %%
zeros = {}
for way, scores in {"magnitude": None, "movement": movement}.items():
    sparse = pruning.prune_weights(original, 0.6, scores=scores)
    zeros[way] = {"after the cut": dev_f1(sparse)}
    train(sparse, loaders["labeled"], objectives.cross_entropy, few_epochs, attach=pruning.keep_zeros)
    zeros[way]["trained again"] = dev_f1(sparse)
pd.DataFrame(zeros).T.round(1)

# %% [markdown]
# Movement also removes large weights, if they shrank a little. If all go at once, a model hardly survives that. The
# paper removes a few more in each step of a longer training, and finds its advantage where few weights are left. So
# this table is no verdict on movement: it does not tell what slower cuts and more training would bring.
#
# ### Heads and hidden units
#
# Whole parts can be removed from the matrices: attention *heads* (the repetitions of attention in a layer), and *hidden
# units* of the feed-forward blocks (the two matrices after attention). Which ones? Either those with small weights, or
# those that matter least on data. The *importance* of a part is how strongly the loss reacts if its output is turned
# down a little ([Michel et al. 2019](https://arxiv.org/abs/1905.10650)). It is measured on training texts:

# %%
some = make_loader(examples["labeled"][:200], tokenizer)
importance = {
    "heads": pruning.head_importance(original, some, objectives.cross_entropy),
    "units": pruning.unit_importance(original, some, objectives.cross_entropy),
}

# %%
heads = torch.stack(importance["heads"]).cpu()
pd.DataFrame((100 * heads / heads.sum()).numpy()).rename_axis("layer").rename_axis("head", axis=1).round(1)

# %% [markdown]
# Each number is a head's share of the importance, in percent. If they differ much, some heads can go. Now remove a
# quarter and half of the heads, then of the units, chosen in both ways. (`prune_heads` divides by the norm of each
# layer first. If parts of an architecture cannot be removed, a message says so.)


# %%
def pruned(kind, amount, by_importance=True, model=original):
    prune = {"heads": pruning.prune_heads, "units": pruning.prune_units}[kind]
    try:
        return prune(model, amount, importance=importance[kind] if by_importance else None)
    except pruning.PruningError as error:
        print(error)
        return model


# %%
scores = {
    f"{amount:.0%} of the {kind}": {
        "by weights": dev_f1(pruned(kind, amount, by_importance=False)),
        "by importance": dev_f1(pruned(kind, amount)),
    }
    for kind in ("heads", "units")
    for amount in (0.25, 0.5)
}
pd.DataFrame(scores).T.round(1)

# %% [markdown]
# Does the choice by importance keep more of the F1 on dev in each line? The models were not trained after the cut, so
# the scores can still rise. Are such models really smaller and faster? The time is measured in torch again:

# %%
half_heads, half_units = (pruned(kind, 0.5) for kind in ("heads", "units"))
rows = {"original": row_of("original", original)}  # again, because times are comparable only side by side
rows["half of the heads"] = row_of("half the heads", half_heads)
rows["half of the units"] = row_of("half the units", half_units)
train(half_units, loaders["labeled"], objectives.cross_entropy, few_epochs)
again = {"weighted F1 on dev": dev_f1(half_units)}  # size and time stay
rows["half of the units, trained again"] = rows["half of the units"] | again
pd.DataFrame(rows).T.round(1)

# %% [markdown]
# In the usual sizes, attention's matrices are a third of a layer and the feed-forward block is two thirds. So removing
# half of the units makes the file smaller by about twice as much as removing half of the heads. Both together save as
# much as removing half of the layers. A short training afterwards often brings most of the score back.
#
# ## Together: distill, prune, round
#
# Now combine what you have. All variants are exported to ONNX, and some are rounded to int8
# ([lesson 7](07_deployment.ipynb) explains both). Of the two students with a teacher, take the better one on dev. The
# pruned one also lost half of its units and was trained again with the teacher. The original in int8 is also in the
# table: without it, the gain of int8 would be taken for a gain of distillation.

# %%
student_name = max(list(plans)[1:], key=lambda name: runs[name]["weighted F1 on dev"])  # chosen on dev
student = students[student_name]
importance["units"] = pruning.unit_importance(student, some, objectives.cross_entropy)
small = pruned("units", 0.5, model=student)
train(small, with_more, distill, few_epochs)
variants = {"original": (original, False), "original, int8": (original, True), "student, int8": (student, True)}
variants["student, half the units, int8"] = small, True

# %%
table, test_logits = {}, {}
quantize = partial(export.quantize, dataloader=make_loader(examples["labeled"][:64], tokenizer))
for name, (model, is_int8) in variants.items():
    folder = name.replace(", ", " ") + " onnx"
    (quantize if is_int8 else export.export)(model, tokenizer, folder)
    _, onnx_model = export.load_exported(folder)
    test_logits[name] = export.predict(onnx_model, loaders["test"])
    table[name] = {"MiB": export.size_mib(folder), **export.speed(onnx_model, loaders["dev"], num_examples=64)}

# %%
for name, row in table.items():
    scores = metrics.scores(gold["test"], test_logits[name].argmax(-1), len(names))
    error = metrics.expected_calibration_error(gold["test"], test_logits[name].softmax(-1).numpy(), num_bins=10)
    row |= {"weighted F1 (%)": 100 * scores["weighted_f1"], "macro F1 (%)": 100 * scores["macro_f1"]}
    row["calibration error (%)"] = 100 * error
table = pd.DataFrame(table).T
print(f"The student is the one that was called {student_name!r} above.")
table.round(1)

# %% [markdown]
# The scores are on test, the times from onnxruntime on this machine: *ms per example* for one text alone, *items per
# second* for texts in batches of 32. Read the table in steps. What does int8 alone bring to the original? What do fewer
# layers bring beyond that? Fewer layers leave the embeddings as they are, and int8 makes them a quarter. The
# calibration error says how far confidence and accuracy are apart ([lesson 3](03_baseline.ipynb)).
#
# The same in one picture, with the 95 % interval of each score:

# %%
bars = {}
for name, row in table.iterrows():
    interval = metrics.bootstrap_ci(gold["test"], test_logits[name].argmax(-1), num_classes=len(names), seed=seed)
    low, high = (100 * end for end in interval)
    score = row["weighted F1 (%)"]
    key = f"{name}: {row['MiB']:.0f} MiB, {row['ms per example']:.1f} ms"
    bars[key] = {"score": score, "low": min(low, score), "high": max(high, score)}
plots.score_bars(pd.DataFrame(bars).T, "weighted F1 (%)", "Score, size and time")

# %%
ratio = table.loc["original"] / table.loc["student, int8"]
speedup, shrinkage = ratio["ms per example"], ratio["MiB"]
lost = table.loc["original", "weighted F1 (%)"] - table.loc["student, int8", "weighted F1 (%)"]
print(f"Against the original, the int8 student is {shrinkage:.1f} times smaller and {speedup:.1f} times faster.")
print(f"It loses {lost:.1f} points of weighted F1.")

# %% [markdown]
# Part of this is the gain of int8. Whether the trade is good depends on what a wrong prediction and a millisecond cost
# you. The intervals are those of single scores; for a difference, use `paired_bootstrap`, as above.
#
# ## What distillation brought, measured
#
# Each row of the next table is the mean over several seeds ± standard deviation, on test. There the students start from
# layers of the *pretrained* encoder with a new head, so what they get from the teacher comes through its logits alone.
# *Three layers* are every second one of six. With and without a teacher, students make the same number of updates. All
# seeds of a row have the same teachers.

# %%
shown_columns = ["row", "seeds", "weighted F1", "macro F1", "difference", "against"]
results.summary("distillation").reindex(columns=shown_columns, fill_value="")

# %% [markdown]
# Rows with 0 seeds are not measured yet. A difference has a 95 % interval over other seeds and other test rows, and its
# p-value is corrected for the number of comparisons. If zero is in the interval, these runs do not show that the
# teacher brought something. That is also a result: then take the small model without a teacher. Reproduce the table
# with `nbhelpers results distillation`.
#
# <details><summary>What others report</summary>
#
# On GLUE, in percent (CoLA: 100 times the Matthews correlation):
# [distilroberta-base](https://huggingface.co/distilbert/distilroberta-base), with 6 layers, has 84.0 on MNLI, 92.5 on
# SST-2 and 59.3 on CoLA (its card says: on test).
# [MiniLM with 6 layers](https://github.com/microsoft/unilm/tree/master/minilm) has 83.3, 91.5 and 47.5 on dev. These
# students were distilled in pretraining, on far more text than a task has.
# </details>
#
# ## What goes wrong
#
# ### `Trainer(teacher_model=...)`
#
# Some tutorials pass a teacher to transformers' Trainer. It has no such argument:

# %%
try:
    transformers.Trainer(model=student, teacher_model=original)
except TypeError as error:
    print("TypeError:", error)

# %% [markdown]
# Distillation needs an objective of its own, such as `distill`. `training.fit` and `training.Trainer` both take it.
#
# ### T² missing, or a mean over everything
#
# In published code, T² was once [left out](https://github.com/IntelLabs/distiller/issues/122), and DeiT
# [divides the KL by the number of elements](https://github.com/facebookresearch/deit/issues/61), which is texts times
# classes. Neither is an error to torch, which only warns of `reduction="mean"`. How hard does the teacher pull, on real
# texts? The table has the norm of the KL's gradient, divided by that of the cross-entropy:


# %%
def kl_elements(x, t):
    log_q, log_p = (teacher_logits["dev"][: len(x)] / t).log_softmax(-1), (x / t).log_softmax(-1)
    return log_q.exp() * (log_q - log_p)  # [texts, classes]


def pull(loss_of):
    x = untrained_logits[:32].clone().requires_grad_()
    losses = (loss_of(x), F.cross_entropy(x, gold["dev"][:32]))
    ours, cross_entropy = (torch.autograd.grad(loss, x)[0].norm().item() for loss in losses)
    return ours / cross_entropy


# %%
rows = {
    f"T = {t}": {
        "right": pull(lambda x, t=t: t**2 * kl_elements(x, t).sum(-1).mean()),
        "without T²": pull(lambda x, t=t: kl_elements(x, t).sum(-1).mean()),
        "divided by elements": pull(lambda x, t=t: t**2 * kl_elements(x, t).mean()),
    }
    for t in (1, 2, 4, 8)
}
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# Without T², a higher temperature silently turns the teacher off. Divided by elements, it counts as many times less as
# there are classes. In both cases alpha no longer means what you think. (DeiT's other settings were chosen for that;
# yours were not.) `reduction="batchmean"` sums over the classes and divides by the texts.
#
# ### The teacher's logits passed as the student's
#
# With two sets of logits at hand, the teacher's are easily
# [passed twice](https://github.com/labmlai/annotated_deep_learning_paper_implementations/issues/66). The KL of the
# teacher with itself is zero from the first step on, and nothing of it reaches the student:

# %%
x = untrained_logits[:32].clone().requires_grad_()
for name, first in (("right", x), ("the teacher's twice", teacher_logits["dev"][:32])):
    loss = kl_elements(first, 2).sum(-1).mean()
    print(f"{name}: KL {loss:.4f}, has a gradient: {loss.requires_grad}")
try:
    distillation.distillation_loss(teacher_logits["dev"][:32], x, gold["dev"][:32])  # swapped
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# Together with the cross-entropy, the total loss looks *better* than the right one, and the student learns from the
# labels alone. So print both parts of the loss once. The helper refuses swapped arguments, but it cannot notice this.
#
# ### More updates than the control
#
# A student with a teacher is often trained longer than the model that it is compared with. Here is what that does. The
# short training from above is the unfair control:

# %%
with_teacher = runs["teacher"]["weighted F1 on dev"]
unfair, fair = layer_table.loc[chosen, "after"], runs["labels only"]["weighted F1 on dev"]
print(f"gain over a control with {few_epochs} of {num_epochs} epochs: {with_teacher - unfair:+.1f} points")
print(f"gain over a control with as many epochs: {with_teacher - fair:+.1f} points")

# %% [markdown]
# Both lines are about the same student. The difference between them comes from the longer training, and not from the
# teacher. Without equal updates and the same start, a gain is no evidence for the teacher.
#
# ### A model without heads that cannot be loaded
#
# A configuration says how many heads a layer has, but not that some of them are gone. So the saved model cannot be
# loaded as usual:

# %%
tokenizer.save_pretrained("half the heads")
try:
    with encoders.quiet():
        encoders.load_trained("half the heads")
    print("loaded")
except Exception as error:
    print(f"{type(error).__name__}:", str(error)[:300])

# %% [markdown]
# Some advice then says `ignore_mismatched_sizes=True`. It loads, with random weights in place of those that do not fit.
# `pruning.load_pruned` makes the layers of a full model smaller first. (Or export the model: its graph has the new
# sizes.)

# %%
config, model_class = transformers.AutoConfig.from_pretrained("half the heads"), type(original)
with encoders.quiet():
    ignored = model_class.from_pretrained("half the heads", config=config, ignore_mismatched_sizes=True)
found = {"before saving": half_heads, "ignore_mismatched_sizes": ignored.to(device)}
try:
    found["load_pruned"] = pruning.load_pruned(model_class(config), "half the heads").to(device)
except pruning.PruningError as error:  # an architecture without removable heads
    print(error)
for model in found.values():  # the attention of the training: another one rounds differently
    encoders.use_fast_layers(model, device, precision)
pd.DataFrame({"weighted F1 on dev": {name: dev_f1(model) for name, model in found.items()}}).round(1)

# %% [markdown]
# The random weights cost the score, and no error says so.
#
# ## Exercises
#
# A wrong answer gets a hint, which grows with each try.
#
# **1.** Write the loss of distillation for one text, from two lists of logits, the number of the label, the temperature
# and alpha.


# %%
def distillation_loss(student, teacher, label, temperature, alpha):
    return None  # your code


check("10-loss", distillation_loss)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def distillation_loss(student, teacher, label, temperature, alpha):
#     def softmax(logits, t):
#         powers = [math.exp(x / t) for x in logits]
#         return [power / sum(powers) for power in powers]
#
#     q, p = softmax(teacher, temperature), softmax(student, temperature)
#     kl = sum(a * (math.log(a) - math.log(b)) for a, b in zip(q, p))
#     return (1 - alpha) * -math.log(softmax(student, 1)[label]) + alpha * temperature**2 * kl
# ```
# </details>
#
# **2.** A student is trained for `num_epochs` epochs on labeled and unlabeled texts together. How many epochs does its
# control, which reads only the labeled texts, need for as many updates? (The batch size is the same. The result may be
# a fraction.)


# %%
def epochs_of_control(num_labeled, num_unlabeled, num_epochs):
    return None  # your code


check("10-updates", epochs_of_control)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def epochs_of_control(num_labeled, num_unlabeled, num_epochs):
#     return num_epochs * (num_labeled + num_unlabeled) / num_labeled
# ```
# </details>
#
# **3.** For your own data: set `corpus` to a file of yours and run the lesson. Which variant of "Together: distill,
# prune, round" would you put on your server, and which number decides it?
#
# ## Quiz
#
# Three questions on this lesson:

# %%
quiz("10-control")
quiz("10-sparse")
quiz("10-soft")

# %% [markdown]
# ## Recap
#
# - A student with some of the teacher's layers is the simplest small model. Try a few sets of layers, and train each a
#   little before you choose.
# - A teacher tells which wrong classes come close. It tells most on texts that it was not trained on, and these need no
#   labels.
# - The loss is (1 − alpha) CE + alpha T² KL, summed over the classes and averaged over the texts.
# - Zeros make nothing smaller. Removed layers, units and heads do, and a short training repairs much of the damage.
# - Give the control as many updates, and put the original in int8 into the table.
#
# Next: lesson 11 searches for good settings, and asks how much of what it finds is luck. The last cell has the number
# that `nbhelpers run` shows for this lesson: how many times faster the int8 student is than the original.

# %%
headline("times faster, int8 student", speedup)
