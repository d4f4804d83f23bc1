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
# # 9. Adversarial training and robustness
#
# *"Overpriced and bland. 26 dollars for a plate of pasta with no taste and a few pieces of chicken."* Nobody doubts
# what this guest thinks, and nobody would doubt it if the first words were "Overprced and blnd". But a model does not
# read letters. It reads the tokens b, ln, d, and none of them ever meant boring food. A model that keeps its
# prediction all the same is *robust*. Adversarial training promises robust models. How do you find out whether yours
# is one, and what the promise is worth?
#
# After this lesson you can
#
# - measure how robust a classifier is, with checks, a search for weak words, and rates that count the right texts,
# - explain a step along the gradient, write it yourself, and choose its length,
# - compare adversarial training fairly with plain training, and recognize versions of it that do nothing.
#
# You should know what a gradient step, a head and an epoch are; [lesson 3](03_baseline.ipynb) explains them. Dropout
# masks are explained in [lesson 5](05_rdrop.ipynb).
#
# <!-- facts -->
# Measured: default profile 1.8 min, 3.4 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | A plain model, and a typing error | 1 |
# | Robustness, measured | 3 |
# | A search instead of chance | 2 |
# | Adversarial training: train where it hurts | 4 |
# | Train with FGM | 2 |
# | Relatives of FGM | 1 |
# | Where this stands | 2 |
# | What goes wrong | 4 |
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
# The picture shows how a text becomes probabilities. A typing error changes the tokens. Adversarial training changes
# what comes next: the vectors with which the encoder starts.

# %%
from nbhelpers.course.lesson import LiveTraining, check, diagrams, explore, headline, load_splits, quiz, results

diagrams.path(["tokens", "encoder"])

# %%
import difflib
import random
import time
from functools import partial

import pandas as pd
import torch
import transformers
from torch.nn import functional as F

from nbhelpers import adversarial, augmentation, batching, corpora, encoders, environment, metrics, objectives
from nbhelpers import plots, robustness, training
from nbhelpers.course.robust_scores import robust_scores
from nbhelpers.course.stopwatch import Stopwatch

pd.set_option("display.max_colwidth", 90, "display.html.use_mathjax", False)
transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show

# %% [markdown]
# What can be set in this lesson:

# %% cellView="form" tags=["parameters"]
# @markdown "reviews", "dialogues", "intents" or "topics" (included in the course), "meld", or a file or folder.
corpus = "reviews"  # @param {type: "string"}
# @markdown The column with the texts; if empty, it is found by its name or its content.
text = ""  # @param {type: "string"}
# @markdown The column with the labels; if empty, it is found by its name or its content.
label = ""  # @param {type: "string"}
# @markdown Of dialogues: the column with the name or number of the dialogue; if empty, it is found by its name.
dialogue = ""  # @param {type: "string"}
# @markdown A class that becomes less likely by "not"; if the corpus lacks it, the most frequent class is taken.
praise = "positive"  # @param {type: "string"}
# @markdown "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown What the head receives: the "mean" of all token vectors, or "cls", the vector of the first token.
pooling = "mean"  # @param ["mean", "cls"]
# @markdown Number of passes over the training data.
num_epochs = 4  # @param {type: "integer"}
# @markdown Length of FGM's step, for all vectors of a text together.
epsilon = 0.1  # @param {type: "number"}
# @markdown Peak learning rate of the encoder (the head has ten times as much); roberta-large needs about 0.00001.
lr = 2e-4  # @param {type: "number"}
# @markdown Largest number of texts in a batch.
batch_size = 16  # @param {type: "integer"}
# @markdown Longer texts are truncated to this many tokens.
max_length = 128  # @param {type: "integer"}
# @markdown Use only this many rows of each split; 0 uses all.
num_rows = 320  # @param {type: "integer"}
# @markdown Number of dev texts for the search.
num_attacked = 24  # @param {type: "integer"}
# @markdown How many predictions the search may ask for, per text.
max_queries = 80  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# Load the corpus, shuffle it, and take the first rows of each split. One run on few texts shows how each part works,
# and proves nothing about a method. The table near the end has more runs.

# %%
data = load_splits(corpus, text=text, label=label, dialogue=dialogue, seed=seed)
sizes = {split: min(num_rows or len(part), len(part)) for split, part in data.items()}
data = {split: part.shuffle(seed=seed).select(range(sizes[split])) for split, part in data.items()}
names = data["train"].features["label"].names
texts = {split: part["text"][:] for split, part in data.items()}
gold = {split: part["label"][:] for split, part in data.items()}
sizes

# %% [markdown]
# ## A plain model, and a typing error
#
# First see what the model reads. These are the first tokens of the review above, as it was written and with two typing
# errors. `##` marks a piece that continues a word, in the tokenizers that write it so.

# %%
tokenizer = corpora.normalizing_tokenizer(encoders.load(encoder, names)[0])
review = "Overpriced and bland. 26 dollars for a plate of pasta with no taste and a few pieces of chicken."
mistyped = review.replace("Overpriced", "Overprced").replace("bland", "blnd")
for version in (review, mistyped):
    print(tokenizer.tokenize(version)[:9])

# %% [markdown]
# With a typing error, a word that is one token falls into pieces. Each token has a vector in the *embedding matrix*,
# where the encoder looks it up. So the encoder now starts from vectors that have nothing to do with the word.
#
# Now train a plain model. Its *objective*, the function that computes the loss of a batch, is the cross-entropy. Both
# trainings of this lesson have the same seed, the same head at the start and the same number of updates, and both
# keep their last weights.

# %%
device = environment.best_device()
precision, _ = environment.best_precision(device)
collator = batching.Collator(tokenizer.pad_token_id)
examples = batching.tokenize(texts["train"], tokenizer, labels=gold["train"], max_length=max_length)
options = {"batch_size": batch_size, "shuffle": True, "seed": seed}
train_loader = batching.make_dataloader(examples, tokenizer.pad_token_id, **options)
print(f"{len(train_loader)} batches in an epoch; on {device.type} in {precision}")

# %%
models, seconds = {}, {}


def train(name, objective):
    environment.set_seed(seed)  # the same random head each time
    model = encoders.load(encoder, names, pooling=pooling)[1].to(device)
    encoders.use_fast_layers(model, device, precision)
    optimizer = training.make_optimizer(model, lr, head_lr=10 * lr)
    scheduler = training.make_scheduler(optimizer, num_epochs * len(train_loader))
    settings, watch = {"num_epochs": num_epochs, "precision": precision}, Stopwatch()
    training.fit(model, train_loader, objective, optimizer, scheduler, log=LiveTraining(num_epochs), **settings)
    models[name], seconds[name] = model, watch.seconds()
    return model


# %%
plain = train("plain", objectives.cross_entropy)

# %% [markdown]
# All checks of this lesson need one function: from texts to probabilities.


# %%
def predict_texts(model, texts):
    examples = batching.tokenize(texts, tokenizer, max_length=max_length)
    loader = batching.make_dataloader(examples, tokenizer.pad_token_id, batch_size=64, shuffle=False)
    return training.predict(model, loader, precision=precision).softmax(-1).numpy()  # [texts, classes]


# %%
predict = partial(predict_texts, plain)
plots.class_probabilities(pd.DataFrame(predict([review, mistyped]), ["as written", "two typing errors"], names))

# %% [markdown]
# Compare the two bars of each class. Whether they differ says little, because it is one text. A measurement needs
# many.
#
# ## Robustness, measured
#
# ### Changes that should not matter
#
# A classifier is *invariant* to a change if its prediction stays the same. The check takes a few lines: change every
# text, predict it before and after, and count. Here each text gets typing errors in about a tenth of its longer
# words:

# %%
typed = robustness.perturb_texts(texts["dev"], robustness.add_typos, seed=seed)
changed = sum(old != new for old, new in zip(texts["dev"], typed, strict=True))
failed = (predict(texts["dev"]).argmax(1) != predict(typed).argmax(1)).sum()
print(f"{changed} of {len(typed)} dev texts were changed, and {failed} of them get another class")

# %% [markdown]
# `robustness.invariance` does this for several changes, and `summarize` counts. "Contractions expanded" makes "it is"
# of "it's", and "many typos" mistypes three longer words in ten.

# %%
invariant = robustness.INVARIANT
checks = {name: invariant[name] for name in ("typos", "upper case", "contractions expanded", "names swapped")}
checks |= {name: invariant[name] for name in ("final period dropped", "numbers changed")}
checks["many typos"] = partial(robustness.add_typos, share=0.3)
cases = robustness.invariance(predict, texts["dev"], gold["dev"], perturbations=checks, seed=seed)
summary = robustness.summarize(cases)
columns = ["texts", "applies", "failures", "failure_rate", "low", "high", "failure_rate_if_correct", "mean_abs_change"]
summary[columns].round(3)

# %% [markdown]
# Read a row from left to right. `applies` is how many of the texts the change really changed; a text without a name
# cannot fail when names are swapped, and a check that applies to no text has no rate (NaN). `failure_rate` divides the
# failures by this number, and `low` and `high` are its 95 % interval. With few texts the interval is wide: zero
# failures among 20 texts still allow a rate of 16 %.
#
# A text that was wrong before can "fail" by becoming right. `failure_rate_if_correct` leaves such texts out. The last
# column is how far the probability of the predicted class moves on average.
#
# **Exercise.** Which check has the highest failure rate?

# %%
most = None  # the name of a row, in quotation marks
check("09-most", most, summary)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# most = summary["failure_rate"].idxmax()
# ```
# </details>
#
# A rate is only as good as the changes behind it. So read the worst failures of each check, and ask whether a person
# would have kept the label. `severity` is how far the probability of the class `before` has fallen:


# %%
def changed_words(before, after):
    old, new = ["", *before.split()], ["", *after.split()]
    blocks = difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes()
    # with the words beside them
    pairs = [(old[i - 1 : j + 1], new[k - 1 : m + 1]) for kind, i, j, k, m in blocks if kind != "equal"]
    return "; ".join(f"{' '.join(a)} -> {' '.join(b)}" for a, b in pairs)


# %%
worst = robustness.worst_examples(cases, num=2)
worst = worst.assign(words=list(map(changed_words, worst["before"], worst["after"])))
for side in ("before", "after"):
    worst[side] = worst[f"predicted_{side}"].map(dict(enumerate(names)))
worst[["check", "before", "after", "severity", "words"]].round(2).reset_index(drop=True)

# %% [markdown]
# ### Changes that should matter
#
# A model that ignores "not" can pass every check so far. So also check the opposite. A *direction* check says which
# way a probability should move: "The room was great" becomes less positive when "not" is added, and a text fails if
# it does not. A *minimum functionality* check is a list of sentences that every model should get right. `template`
# makes such lists from all combinations. For a corpus of another kind, write sentences of its own. (All three kinds
# of checks come from CheckList, [Ribeiro et al. 2020](https://arxiv.org/abs/2005.04118).)

# %%
occurring = [names[number] for number in gold["dev"]]
target = praise if praise in occurring else max(occurring, key=occurring.count)
praised = [text for text, name in zip(texts["dev"], occurring, strict=True) if name == target]
things, adjectives = ["room", "food", "film", "staff", "phone"], ["great", "lovely", "superb", "perfect"]
sentences = robustness.template("The {thing} was {adjective}.", thing=things, adjective=adjectives)

# %%
expected = {"class_index": names.index(target), "expected": "down", "seed": seed}
tables = [
    robustness.direction(predict, part, perturbations={name: robustness.add_negation}, **expected)
    for name, part in {"not added, dev texts": praised, "not added, sentences": sentences}.items()
]
tables.append(robustness.minimum_functionality(predict, {"sentences as they are": (sentences, names.index(target))}))
behavior = robustness.summarize(pd.concat(tables))
behavior[["texts", "applies", "failures", "failure_rate", "mean_change"]].round(3)

# %% [markdown]
# `mean_change` is the mean move of the probability. The last row changes no text, so it has none; there a sentence
# fails if another class is predicted. If many fail, remember that the corpus may have few texts as short as these.
# There are no intervals, because sentences from one template are not independent.
#
# Again read the failures. `add_negation` is a simple rule. One "not" in a long text is no great change, and "not
# horrible" even makes a text more positive.

# %%
worst = robustness.worst_examples(pd.concat(tables[:2]), num=3)
worst = worst.assign(words=list(map(changed_words, worst["before"], worst["after"])))
worst[["check", "change", "words"]].round(2).reset_index(drop=True)

# %% [markdown]
# ### Try it
#
# Type a text, choose a change, and compare the probabilities. `version` takes other random numbers. Can you find a
# change after which another class is predicted, although it should not matter?

# %%
everything = {**checks, **invariant, "negation added": robustness.add_negation}


def change_text(text, change="many typos", version=0):
    (after,) = robustness.perturb_texts([text], everything[change], seed=version)
    frame = pd.DataFrame(predict([text, after]), ["as written", "changed"], names)
    return [changed_words(text, after) or "This change does not apply to the text.", plots.class_probabilities(frame)]


explore(change_text, text=review, change=list(everything), version=(0, 20))

# %% [markdown]
# ## A search instead of chance
#
# A random typing error seldom hits the word on which a prediction depends. An *attack* looks for this word. The
# search below works like TextFooler ([Jin et al. 2020](https://arxiv.org/abs/1907.11932)). It leaves out each word
# once, to see how much the probability of the label falls. Then it replaces the words in this order, each by the
# *candidate* that lowers the probability most, until another class is predicted. Here is the first step by hand for
# the review above, with each word's candidates:

# %%
words, predicted = review.split(), predict([review])[0].argmax()
shorter = [" ".join(words[:place] + words[place + 1 :]) for place in range(len(words))]
ranked = pd.DataFrame({"word": words, "probability without it": predict(shorter)[:, predicted]})
ranked = ranked.sort_values("probability without it").head(6).reset_index(drop=True)

# %%
synonyms = augmentation.load_synonyms()
options = [synonyms.get(word.lower().strip(".,"), []) for word in ranked["word"]]
ranked.assign(candidates=list(map(", ".join, options))).round(3)

# %% [markdown]
# If the probabilities are nearly the same, the prediction depends on no single word. The candidates come from a table
# of synonyms of the course. They must keep the label, or the search shows nothing. A *query budget* limits how often
# the model may be asked, as an online service would.

# %%
searches = {}
attacked = texts["dev"][:num_attacked], gold["dev"][:num_attacked]


def attack(name, model, candidates):
    asked = partial(predict_texts, model)
    searches[name] = robustness.substitute_words(asked, *attacked, candidates, max_queries=max_queries, seed=seed)
    return searches[name]


# %%
found = attack("plain, synonyms", plain, synonyms.get)
found["status"].value_counts().to_frame()

# %% [markdown]
# *Flipped* means that the replacements changed the predicted class. *Wrong before* are texts that the model got wrong
# without any attack; they were not searched. *Held* means that the search ended and the class stayed, and *out of
# queries* that the budget ended first.
#
# If most texts have held, that shows little: the table has candidates for few of the words, and a weak search makes
# every model look robust. So let the search also choose among four typing errors for each longer word. (`make_typos`
# never turns a word into a negation, such as "now" into "not".)


# %%
def candidates(word):
    options = {augmentation.make_typos(word, random.Random(number)) for number in range(4)} if len(word) > 3 else {}
    return [*synonyms.get(word, []), *sorted(options)]


found = attack("plain, also typos", plain, candidates)
found["status"].value_counts().to_frame()

# %%
flipped = found[found["status"] == "flipped"]
shown = [", ".join(f"{old} -> {new}" for old, new in changes) for changes in flipped["changes"]]
flipped.assign(changes=shown)[["changes", "queries", "probability_before", "probability_after"]].round(2).head(8)

# %% [markdown]
# The probabilities are those of the label. Read the replacements. Would you still give these texts the same label? A
# replacement that changes the meaning shows no failure of the model.
#
# The next table sums up the searches. The flip rate is the share of flipped texts among those that were right before.
# The accuracy after a search is an upper bound: a better search may flip more. Compare the flip rate with the failure
# rate of "typos" in the first table: the errors are similar, but here they are chosen.


# %%
def search_table():
    counted = ["correct_before", "accuracy_before", "accuracy_after", "flip_rate_if_correct", "low", "high"]
    rows = {name: robustness.summarize_search(table) for name, table in searches.items()}
    return pd.DataFrame(rows).T[[*counted, "out_of_queries", "mean_queries"]].round(3)


# %%
search_table()

# %% [markdown]
# ## Adversarial training: train where it hurts
#
# The idea: find a change that makes the loss larger, and train on the changed text as well. Letters and words cannot
# be moved by a small amount, but their vectors can. All vectors of a text together are one point in a space with many
# dimensions, and a classifier divides this space into regions. (PGD, on the right, comes later.)

# %%
diagrams.adversarial_steps()

# %% [markdown]
# In training, the gradient says how the loss depends on the weights. Here take the *gradient* with respect to this
# point: the direction in which the loss grows fastest. **FGM**, the fast gradient method ([Miyato et al.
# 2017](https://arxiv.org/abs/1605.07725)), takes one step in this direction:
#
#     r = epsilon * g / |g|,    loss = CE(x) + CE(x + r)
#
# x is the point, g the gradient, |g| its norm (the root of the sum of squares), so the step r has the length epsilon.
# CE is the cross-entropy. Training on both losses should move the boundary away from the text. Here is the step for a
# point with two numbers:

# %%
weights = torch.tensor([2.0, -1.0])  # a model with two weights; the right class is "positive"
point = torch.tensor([0.9, 0.5], requires_grad=True)
loss = F.softplus(-(weights @ point))  # the cross-entropy, log(1 + exp(-logit))
(gradient,) = torch.autograd.grad(loss, point)
step = 0.5 * gradient / gradient.norm()  # epsilon is 0.5
print(f"gradient {gradient.numpy().round(3)}, step {step.numpy().round(3)} of length {step.norm():.2f}")
print(f"loss {loss:.3f} before the step, {F.softplus(-(weights @ (point + step))):.3f} after it")

# %% [markdown]
# The step goes against the weights, because this lowers the logit of the right class most.
#
# **Exercise.** Write FGM's step for one text. `gradient` is a list with all numbers of its gradient. If they are all
# zero, return zeros.


# %%
def fgm_step(gradient, epsilon):
    return None  # your code


check("09-step", fgm_step)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def fgm_step(gradient, epsilon):
#     size = sum(g**2 for g in gradient) ** 0.5
#     return [epsilon * g / size if size else 0.0 for g in gradient]
# ```
# </details>
#
# ### On a real batch
#
# To get the gradient with respect to the vectors, catch them with a *hook*: a function that torch calls with the
# output of a layer, and that may replace it. The mask sets the gradient at padding to zero.


# %%
def make_batch(examples):
    return {name: tensor.to(device) for name, tensor in collator(examples).items()}


def embedding_gradient(model, batch):
    kept = []

    def keep(layer, inputs, output):
        kept.append(output.detach().requires_grad_())
        return kept[0]

    handle = model.get_input_embeddings().register_forward_hook(keep)
    loss = objectives.cross_entropy(model, batch)
    handle.remove()
    (gradient,) = torch.autograd.grad(loss, kept[0])
    mask = batch["attention_mask"].unsqueeze(-1)  # [batch, tokens, 1]
    return loss.item(), kept[0].detach() * mask, gradient * mask  # vectors and gradient: [batch, tokens, size]


# %% [markdown]
# `unit` gives each text a direction of norm 1. `loss_after` adds a step to the vectors, also with a hook, and computes
# the loss.


# %%
def unit(tensor):
    return tensor / tensor.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-30)


def loss_after(model, batch, step):
    with torch.no_grad(), adversarial.perturbed(model, step):
        return objectives.cross_entropy(model, batch).item()


# %% [markdown]
# Take a step along the gradient, and one of the same length in a random direction. How much does each change the loss?

# %%
batch = make_batch(examples[:16])
loss, vectors, gradient = embedding_gradient(plain.eval(), batch)
torch.manual_seed(seed)
noise = torch.randn_like(gradient) * batch["attention_mask"].unsqueeze(-1)
directions = {"gradient": unit(gradient), "random": unit(noise)}

# %%
lengths = [epsilon * part / 2 for part in range(11)]
rows = [{way: loss_after(plain, batch, size * d) for way, d in directions.items()} for size in lengths]
plots.run_curves(pd.DataFrame(rows, pd.Index(lengths, name="length of the step")), "loss", "the length of the step")

# %% [markdown]
# In a space with thousands of dimensions, a random direction hardly ever points toward the boundary. The gradient
# does. Is the step long or short? Compare it with the norm of the vectors themselves, all those of a text together:

# %%
size = vectors.flatten(1).norm(dim=1).mean()
print(f"norm of a text {size:.1f} on average; a step of length {epsilon:g} is {epsilon / size:.1%} of it")

# %% [markdown]
# Does the step lead to another text? For two texts, find for each moved vector the nearest one in the matrix:

# %%
moved = (vectors[:2] + epsilon * directions["gradient"][:2]).flatten(0, 1)  # all tokens of two texts
nearest = torch.cdist(moved, plain.get_input_embeddings().weight.detach()).argmin(1)
real = batch["attention_mask"][:2].flatten() == 1
same = (nearest == batch["input_ids"][:2].flatten())[real].float().mean()
print(f"after the step, {same:.0%} of the tokens are still nearest to their own vector")

# %% [markdown]
# If most tokens are still nearest to their own vector, no other text belongs to the new point. So the step is not a
# typing error or a synonym. Whether training against this step also protects from typing errors must be measured.
#
# Try both directions on a text of your own. The step along the gradient leads away from the class that is predicted
# now.


# %%
def move_text(text, length=0.5):
    batch = make_batch(batching.tokenize([text], tokenizer, max_length=max_length))
    batch["labels"] = torch.tensor(predict([text]).argmax(1), device=device)
    _, vectors, gradient = embedding_gradient(plain.eval(), batch)
    steps = {"as written": 0 * vectors, "random": unit(torch.randn_like(vectors)), "gradient": unit(gradient)}
    rows = []
    for step in steps.values():
        with torch.no_grad(), adversarial.perturbed(plain, length * step):
            rows.append(objectives.compute_logits(plain, batch, "labels")[0].float().softmax(-1).tolist())
    share = length / vectors.norm()
    return [f"{share:.1%} of the text's norm", plots.class_probabilities(pd.DataFrame(rows, [*steps], names))]


explore(move_text, text=review, length=(0.0, 2.0, 0.05))

# %% [markdown]
# ### The objective
#
# `adversarial.fgm` wraps another objective. It uses the same dropout masks in both passes, does not
# touch the embedding matrix, and gives each text its own step. With the same random numbers, it agrees with the sum
# by hand:


# %%
def by_hand(model, batch):
    torch.manual_seed(seed)
    loss, _, gradient = embedding_gradient(model, batch)
    torch.manual_seed(seed)  # the same dropout masks
    return loss + loss_after(model, batch, epsilon * unit(gradient))


fgm = partial(adversarial.fgm, objective=objectives.cross_entropy, epsilon=epsilon)
total = by_hand(plain.train(), batch)
torch.manual_seed(seed)
print(f"by hand {total:.5f}, adversarial.fgm {fgm(plain, batch).item():.5f}")

# %% [markdown]
# ## Train with FGM
#
# Only the objective changes. Its loss is a sum of two, so it starts about twice as high. How long should the step be?
# Look at the curve above: at a good epsilon the loss has begun to rise. Where it is far up, the model would be
# trained on points that it cannot get right. Try several lengths, and choose on dev. The table near the end has rows
# for an epsilon of 0.3 and of 1.

# %%
fgm_model = train("FGM", fgm)
print(f"an update of FGM took {seconds['FGM'] / seconds['plain']:.1f} times as long as a plain one")

# %% [markdown]
# Now score both models on test: on the texts as they are, and with typing errors, which are the same for both models.
# The scores are weighted F1 in percent, and `seconds` is the time of training.

# %%
versions = {"clean": texts["test"]}
for name in ("typos", "many typos"):
    versions[name] = robustness.perturb_texts(texts["test"], checks[name], seed=seed)
predictions = {
    model: {name: predict_texts(models[model], part).argmax(1) for name, part in versions.items()} for model in models
}
scores = {
    model: {name: metrics.scores(gold["test"], x, len(names))["weighted_f1"] for name, x in of_model.items()}
    for model, of_model in predictions.items()
}
(100 * pd.DataFrame(scores).T).assign(seconds=pd.Series(seconds)).round(1)

# %% [markdown]
# Compare the models on the same rows, as in [lesson 3](03_baseline.ipynb). If zero is in an interval, these rows do
# not show a difference. The interval does not cover other seeds.

# %%
for name in versions:
    pair = (predictions[model][name] for model in ("plain", "FGM"))
    result = metrics.paired_bootstrap(gold["test"], *pair, num_classes=len(names), seed=seed)
    difference, low, high = (100 * result[key] for key in ("difference", "low", "high"))
    print(f"{name}: FGM against plain {difference:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}")

# %% [markdown]
# Attack the new model as well. The search starts from scratch, because what flips one model need not flip the other.
# Compare the last two rows and their intervals:

# %%
attack("FGM, also typos", fgm_model, candidates)
search_table()

# %% [markdown]
# Did FGM reach its own goal? Take the step from above against each model, on texts that neither has seen, and compare
# how much the loss rises:

# %%
held_out = batching.tokenize(texts["dev"][:16], tokenizer, labels=gold["dev"][:16], max_length=max_length)
dev_batch, rows = make_batch(held_out), {}
for name, model in models.items():
    loss, _, gradient = embedding_gradient(model.eval(), dev_batch)
    rows[name] = {"loss": loss, "loss after the step": loss_after(model, dev_batch, epsilon * unit(gradient))}
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# A model can withstand the step for which it was trained and still fail at typing errors. Only a check with the changes
# that your users make answers your question. Now type a text of your own for both models:


# %%
def both_models(text, change="many typos", version=0):
    (after,) = robustness.perturb_texts([text], everything[change], seed=version)
    rows = [row for model in models.values() for row in predict_texts(model, [text, after])]
    index = [f"{name}, {part}" for name in models for part in ("as written", "changed")]
    return [after, plots.class_probabilities(pd.DataFrame(rows, index, names))]


explore(both_models, text=review, change=list(everything), version=(0, 20))

# %% [markdown]
# ## Relatives of FGM
#
# - **PGD** ([Madry et al. 2018](https://arxiv.org/abs/1706.06083)) takes several shorter steps, here five. What leaves
#   the ball of radius epsilon is moved back. It trains on the last point only.
# - **FreeLB** ([Zhu et al. 2020](https://arxiv.org/abs/1909.11764)) starts at a random point and trains on the points
#   of all steps, here three. Each backward pass gives both the next step and a gradient of the weights.
# - **VAT** ([Miyato et al. 2018](https://arxiv.org/abs/1704.03976)) looks for the step that changes the *prediction*
#   most, which needs no label. It adds the KL between both predictions to the loss.
# - **R-Drop** ([lesson 5](05_rdrop.ipynb)) takes no step. Its two predictions differ by their dropout masks.
#
# What does each cost? Compute each loss and its gradient twice, and divide the time by that of plain training. By the
# number of passes, expect about 2 for FGM and R-Drop, 3 for FreeLB and VAT, and 6 for PGD:

# %%
few = {name: tensor[:8] for name, tensor in batch.items()}
wrapped = {"objective": objectives.cross_entropy}
methods = {"plain": objectives.cross_entropy, "FGM": fgm, "R-Drop": objectives.r_drop}
methods |= {name: partial(getattr(adversarial, name.lower()), **wrapped) for name in ("FreeLB", "VAT", "PGD")}


def time_of(objective, repetitions=2):
    start = time.perf_counter()
    for _ in range(repetitions):
        with training.autocast(device, precision):
            loss = objective(plain.train(), few)
        loss.backward()
        loss.item()  # a GPU computes in the background: wait for it
    return time.perf_counter() - start


# %%
_ = time_of(fgm)  # the first use is slower
times = {name: time_of(objective) for name, objective in methods.items()}
plain.zero_grad()
pd.DataFrame({"times plain": {name: value / times["plain"] for name, value in times.items()}}).round(1)

# %% [markdown]
# ## Where this stands
#
# The next table was measured on messages to a shop, `corpus = "intents"`, and in its last rows on SST-2, sentences
# about films. It shows the mean weighted F1 on test over the seeds ± standard deviation: clean, then with each change
# of the test texts. "Words searched" is the score on the first 100 test texts after a search as above, against the
# model of the row. "Twice the epochs" has about the time of FGM. "Typos added" also trains on a copy of each text
# with typing errors, so it makes twice as many updates.

# %%
robust_scores("robustness")

# %% [markdown]
# First compare each row with "twice the epochs" and not only with "plain", because the other methods computed more;
# "tokens per second" is the speed of training. Then compare the columns of typing errors with "typos added", the
# direct remedy. A difference within the standard deviations is no evidence of a gain, and "brings nothing here" is
# also a result. The next table tests clean scores against the row in `against`; its intervals cover other seeds and
# other test texts. (Reproduce it with `nbhelpers results robustness`.)

# %%
tested = results.summary("robustness")
tested[[name for name in ("row", "seeds", "weighted F1", "seconds", "difference", "against") if name in tested]]

# %% [markdown]
# On clean texts no method is better than plain training beyond chance: all corrected p-values are far above 0.05. FGM
# comes closest, on SST-2 with its few training texts. With many typing errors, "typos added" leads on the messages
# and FGM on SST-2, by a point or two. The seeds alone differ that much. A long step does damage: with an epsilon of 1,
# the five runs on the messages scored between 36 and 72, and those of plain training between 78 and 83.
#
# <details><summary>Published numbers</summary>
#
# The paper on FreeLB reports a mean GLUE test score of 79.4 instead of 78.3 for BERT-base, and of 88.8 instead of 88.5
# for RoBERTa-large. A user who trained albert-base-v2 with the authors' code reports 93.0 on SST-2 without FreeLB, 91.9
# with it, and 93.5 with a pass over the original texts added ([issue
# 10](https://github.com/zhuchen03/FreeLB/issues/10)). These are clean scores: none of them says how robust a model is.
# </details>
#
# ## What goes wrong
#
# ### An epsilon of 0.00001
#
# Some tutorials take an epsilon of 1e-5, which sounds careful. How much does such a step change the loss, and how
# much do dropout masks differ?

# %%
loss, _, gradient = embedding_gradient(plain.eval(), batch)
tiny = loss_after(plain, batch, 1e-5 * unit(gradient)) - loss
masks = []
for number in range(8):
    torch.manual_seed(number)
    masks.append(loss_after(plain.train(), batch, 0 * gradient))
print(f"the step changes the loss by {tiny:.6f}, another dropout mask by about {pd.Series(masks).std():.6f}")

# %% [markdown]
# Then both terms of the loss are nearly the same, and FGM is plain training at twice the cost. A gain over plain
# training is the noise between two runs; the table above has a row for it.
#
# Too long a step is also bad. Much copied code has an epsilon of 1. With the embedded encoder and a step for each
# text, that is more than a tenth of the norm of a text. Move the slider above to 1, and see what is left of a
# prediction. A model that cannot get such points right learns little from them. Give epsilon as a share of the norm,
# begin with about 1 %, and choose it on dev.
#
# ### The sign of the gradient
#
# FGSM, the method for images ([Goodfellow et al. 2015](https://arxiv.org/abs/1412.6572)), takes epsilon · sign(g). In
# images each number has the same scale. Here the length of this step is epsilon times the root of how many numbers
# there are, so it grows with the length of the text. The last column is the loss after FGM's step of the same length:

# %%
rows = {}
for size in (0.0001, 0.001, 0.01):
    sign_step = size * gradient.sign()
    norms = sign_step.flatten(1).norm(dim=1)
    same_length = norms[:, None, None] * unit(gradient)
    losses = [loss_after(plain.eval(), batch, step) for step in (sign_step, same_length)]
    rows[f"{size:g}"] = [norms.min().item(), norms.max().item(), *losses]
table = pd.DataFrame(rows, ["shortest step", "longest step", "loss, sign", "loss, same length along the gradient"])
table.T.rename_axis("epsilon of FGSM").round(3)

# %% [markdown]
# The sign treats a number that hardly matters like the most important one. So at the same length, a short step along
# the gradient does more harm. (Far from the text, where the gradient no longer holds, the order may be reversed.)
#
# ### Arguments that do not exist
#
# Some articles pass `adv_lr` or `adversarial_training` to TrainingArguments. transformers has no such arguments:

# %%
try:
    transformers.TrainingArguments("unused", adv_lr=1e-5)
except TypeError as error:
    print("TypeError:", error)

# %% [markdown]
# An objective such as `fgm` works with `training.Trainer` of the course, as R-Drop did in [lesson 5](05_rdrop.ipynb).
#
# ### The copied FGM
#
# The FGM that many projects copy adds `epsilon * grad / norm(grad)` to the embedding *matrix*, with the gradient of
# the whole matrix. So all texts of a batch share one step of length epsilon, and a token gets the same step wherever
# it occurs. How far do the tokens move, with an epsilon of 1?


# %%
def copied_step(model, batch):
    model.zero_grad()
    objectives.cross_entropy(model.eval(), batch).backward()
    gradient = model.get_input_embeddings().weight.grad  # [vocabulary, size]
    return gradient / gradient.norm()


# %%
rows = {}
for size in (4, 16, 32):
    part = make_batch(examples[:size])
    real, shift = part["attention_mask"] == 1, copied_step(plain, part).norm(dim=1)  # shift: [vocabulary]
    used = part["input_ids"][real].unique()
    row = {"different tokens": len(used), "median shift": shift[used].median().item()}
    row |= {"most moved": tokenizer.decode([used[shift[used].argmax()]]), "its shift": shift.max().item()}
    of_fgm = unit(embedding_gradient(plain, part)[2]).norm(dim=-1)[real]
    rows[len(real)] = row | {"median shift with adversarial.fgm": of_fgm.median().item()}
plain.zero_grad()
pd.DataFrame(rows).T.infer_objects().round(4).rename_axis("batch size")

# %% [markdown]
# The median token moves less, the more tokens share the step, and a single token can take a large part of it. With
# `adversarial.fgm` each text has a step of its own, so its median does not depend on the batch size in this way. With
# the copied code, another batch size or gradient accumulation makes it another method.
#
# The copied code finds the matrix by a part of its name, often "emb.". If no name fits, it does nothing and says
# nothing:

# %%
for part in ("emb.", "word_embeddings"):
    print(part, "->", [name for name, _ in plain.named_parameters() if part in name])

# %% [markdown]
# The same happens with LoRA, whose frozen embeddings have no gradient. `adversarial.fgm` takes the gradient with
# respect to the vectors, and raises an error when the loss does not depend on them.
#
# ### Robust without an attack
#
# Look again at the failure rate of "upper case" in the first table. Does it say something about the model? Count in
# how many texts a change reaches the model at all, after the tokenizer has cut it to `max_length`:

# %%
rows = {}
for name, part in cases.groupby("check", sort=False):
    before, after = (batching.tokenize(part[side], tokenizer, max_length=max_length) for side in ("before", "after"))
    reached = sum(old != new for old, new in zip(before, after, strict=True))
    rows[name] = {"texts changed": summary.loc[name, "applies"], "tokens changed": reached}
pd.DataFrame(rows).T

# %% [markdown]
# Where a change reaches no token, the rate is zero for every model with this tokenizer. An uncased tokenizer, for
# example, removes the capitals before the model sees them.
#
# ### Rates that count the wrong texts
#
# A failure rate over all texts is lower, because texts that were not changed cannot fail. The success of an attack is
# sometimes given as 1 - the accuracy after it. This is higher, because it also counts texts that were wrong before:

# %%
counted = summary[["failure_rate"]].assign(of_all_texts=summary["failures"] / summary["texts"])
counted.rename(columns={"failure_rate": "of the changed texts", "of_all_texts": "of all texts"}).round(3)

# %%
rates = pd.DataFrame({name: robustness.summarize_search(table) for name, table in searches.items()}).T
inflated = 1 - rates["accuracy_after"]
pd.DataFrame({"of those right before": rates["flip_rate_if_correct"], "of all texts": inflated}).round(3)

# %% [markdown]
# With the rate of all texts, a bad model looks fragile, and a weak attack looks strong.
#
# ### Unequal cost
#
# Compare at equal cost as well: FGM computes two passes, so plain training deserves twice the epochs.
#
# ## Exercises
#
# A wrong answer gets a hint, which grows with each try.
#
# **1.** Compute the failure rate of an invariance check. You get the texts before and after the change, and the
# predicted classes before and after. Count only texts that were changed. If there are none, return 0.


# %%
def failure_rate(before, after, predicted_before, predicted_after):
    return None  # your code


check("09-changed", failure_rate)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def failure_rate(before, after, predicted_before, predicted_after):
#     changed = [i for i in range(len(before)) if before[i] != after[i]]
#     failed = [i for i in changed if predicted_before[i] != predicted_after[i]]
#     return len(failed) / len(changed) if changed else 0
# ```
# </details>
#
# **2.** Compute the success rate of an attack, from the column `status` of a search, for instance `["flipped", "held",
# "wrong before"]`. If no text was right before, return 0.


# %%
def success_rate(statuses):
    return None  # your code


check("09-success", success_rate)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def success_rate(statuses):
#     right_before = len(statuses) - statuses.count("wrong before")
#     return statuses.count("flipped") / right_before if right_before else 0
# ```
# </details>
#
# **3.** Choose an epsilon by the size of the text: you get the norms of its tokens' vectors and a share, such as 0.01.
# Return the epsilon that is this share of the norm of the text.


# %%
def epsilon_for(token_norms, share):
    return None  # your code


check("09-epsilon", epsilon_for)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def epsilon_for(token_norms, share):
#     return share * sum(norm**2 for norm in token_norms) ** 0.5
# ```
# </details>
#
# ## Quiz
#
# Each choice has an explanation.

# %%
quiz("09-robust")
quiz("09-epsilon")
quiz("09-gain")

# %% [markdown]
# ## Recap
#
# - Robustness is measured: invariance, direction and minimum functionality, each with its interval, and a search with a
#   budget. Read the worst examples.
# - Count only what can fail: texts that were changed, and texts that were right before.
# - FGM adds the loss after a step of length epsilon along the gradient of the vectors. Choose epsilon by the norm of a
#   text.
# - Withstanding that step is not the same as withstanding typing errors. Compare with plain training of equal time, and
#   with training on the errors themselves.
#
# Where to go next: [lesson 8](08_rare_classes.ipynb) also trains on changed texts, and says when that helps. [Lesson
# 10](10_distillation.ipynb) makes a model smaller. The last cell gives the number that `nbhelpers run` shows for this
# lesson: by how many points the weighted F1 of the FGM model falls with many typing errors.

# %%
headline("points lost with many typos, FGM", 100 * (scores["FGM"]["clean"] - scores["FGM"]["many typos"]))
