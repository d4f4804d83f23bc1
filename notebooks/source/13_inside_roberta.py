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
# # 13. Inside RoBERTa
#
# *"its the easel again (Ref. ES/0094), your colleague wrote ___, on Tuesday. today is thursday"*. Which word is missing
# in this message to a shop? Probably "tomorrow": it is Thursday, and the easel is late. To guess it, you had to read
# beyond the gap. Nobody had to label the message to ask this question. RoBERTa learned all it knows from billions of
# such gaps. What does it see in their place, how does it learn, and can you let it read *your* texts as well?
#
# After this lesson you can
#
# - say what a byte-level tokenizer does to a text, and what another language costs,
# - mask texts correctly, pretrain a small RoBERTa, and judge its loss on fixed gaps,
# - train an encoder further on unlabeled texts of your domain, and measure whether it pays,
# - refute three claims about RoBERTa, each with a few lines of code.
#
# You should know tokens, logits and fine-tuning ([lesson 3](03_baseline.ipynb)).
#
# <!-- facts -->
# Measured: default profile 2.2 min, 1.9 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | Tokens: pairs of bytes | 4 |
# | Gaps: what the model learns from | 2 |
# | A small RoBERTa from nothing | 3 |
# | Continue on your domain | 3 |
# | What attention shows | 2 |
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
# This lesson is about two steps of the picture: the tokens, and where the encoder's knowledge comes from.

# %%
from nbhelpers.course.lesson import LiveTraining, check, diagrams, explore, headline, load_splits, quiz

diagrams.path(["tokens", "encoder"])

# %%
import math
import random
import tempfile
from collections import Counter
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
import transformers
from scipy.stats import spearmanr

from nbhelpers import attribution, batching, corpora, encoders, environment, metrics, objectives, plots, pretraining
from nbhelpers import training
from nbhelpers.course.diagrams.pretraining import attention_head, masking_fates

transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show

# %% [markdown]
# What can be set in this lesson:

# %% cellView="form" tags=["parameters"]
# @markdown The domain: "intents", "topics", "reviews" (included), "meld", or a file or folder with text and label.
corpus = "intents"  # @param {type: "string"}
# @markdown The column with the texts; if empty, it is found by its name or its content.
text = ""  # @param {type: "string"}
# @markdown The column with the labels; if empty, it is found by its name or its content.
label = ""  # @param {type: "string"}
# @markdown "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown Number of tokens in the vocabulary of the small RoBERTa, at least 261.
vocab_size = 1000  # @param {type: "integer"}
# @markdown Width of the small RoBERTa, a multiple of 4 (RoBERTa-base has 768).
hidden_size = 128  # @param {type: "integer"}
# @markdown Number of its layers (RoBERTa-base has 12).
num_layers = 2  # @param {type: "integer"}
# @markdown Number of tokens in each of its inputs (RoBERTa-base reads 512).
small_max_length = 32  # @param {type: "integer"}
# @markdown Steps of its pretraining.
num_steps = 2000  # @param {type: "integer"}
# @markdown Steps of the continued pretraining in which only the head is trained, if the encoder comes without one.
num_head_steps = 50  # @param {type: "integer"}
# @markdown Steps of the continued pretraining of the whole encoder.
num_domain_steps = 80  # @param {type: "integer"}
# @markdown Updates of each fine-tuning.
num_updates = 60  # @param {type: "integer"}
# @markdown Peak learning rate of the encoder (a new head has ten times as much).
lr = 1e-4  # @param {type: "number"}
# @markdown Number of tokens in an input of the encoder; longer texts are truncated in fine-tuning.
max_length = 64  # @param {type: "integer"}
# @markdown Use only this many rows of each split, spread over it; 0 uses all.
num_rows = 0  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# Pretraining needs texts and no labels. The small RoBERTa reads what was written for this course. A *document* is a
# list of sentences: the turns of a dialogue, or the sentences of another text.


# %%
def documents_of(data):
    if "dialogue_id" not in data.features:
        return [pretraining.split_sentences(text) for text in data["text"]]
    dialogues = {}
    for dialogue, turn in zip(data["dialogue_id"], data["text"], strict=True):
        dialogues.setdefault(dialogue, []).append(turn)
    return list(dialogues.values())


documents = {"train": [], "dev": []}
for name in ("dialogues", "reviews", "topics", "intents"):
    for split, part in load_splits(name, num_rows).items():
        if split != "test":
            documents[split] += documents_of(part)

# %%
random.Random(seed).shuffle(documents["train"])
texts = [" ".join(document) for document in documents["train"]]
print(f"{len(texts)} documents with {sum(len(text.split()) for text in texts):,} words in train")

# %% [markdown]
# RoBERTa read 160 GB of text, more than a hundred thousand times as much.
#
# ## Tokens: pairs of bytes
#
# A model needs numbers. With a number for each word, words that were not in the training texts would have none. So
# RoBERTa's tokenizer begins with *bytes*, of which there are only 256. Then it joins the most frequent pair of
# neighbors into a new token, again and again. This is *byte-pair encoding* (BPE;
# [Sennrich et al. 2016](https://arxiv.org/abs/1508.07909)), on bytes as in GPT-2. First, a text is divided into words
# and signs. Each byte is shown as one character, the space as Ġ:

# %%
for example in ("I don't want it, not at 9:30!", "don’t", "naïve 你好 🙂"):
    print(pretraining.split_words(example))

# %% [markdown]
# No token will ever cross one of these borders. The curly apostrophe of the second line is not recognized, so "don’t"
# has three parts. The special characters of the third line have two to four bytes each.
#
# Now the merges. Count all pairs of neighbors in five words, and join the most frequent pair (of equally frequent ones,
# the first). Three times by hand:

# %%
words = [list(word) for word in ["low", "low", "lower", "newest", "newest"]]
for _ in range(3):
    counts = Counter(pair for word in words for pair in pairwise(word))
    best, count = counts.most_common(1)[0]
    words = [pretraining.merge_pair(word, best) for word in words]
    print(f"{best[0]} + {best[1]} occurs {count} times:", " ".join("·".join(word) for word in words))

# %% [markdown]
# The list of merges *is* the tokenizer: it applies the same merges in the same order to each new text. `learn_merges`
# learns them from real texts (`tokenizers` is much faster). The first twelve, from a part of the texts:

# %%
merges = pretraining.learn_merges(texts[:200], 240)
print(", ".join(f"{first}+{second} ({count})" for (first, second), count in merges[:12]))

# %% [markdown]
# With more merges, which words become one token first? Try a name, a typing error, another language.


# %%
def pieces_after(text, number_of_merges=60):
    pieces = pretraining.apply_merges(text, [pair for pair, _ in merges[:number_of_merges]])
    return [f"{len(pieces)} tokens", " | ".join(pieces)]


explore(pieces_after, text="Where is my parcel? I don't want to wait.", number_of_merges=(0, len(merges), 20))

# %% [markdown]
# **Exercise.** Write the merge itself, with ids instead of letters. You get the ids of a word, the two ids of the pair,
# and the id of the new token, which no other token has. Return the new list of ids.


# %%
def merge(ids, first, second, new_id):
    return None  # your code


check("13-merge", merge)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def merge(ids, first, second, new_id):
#     result = []
#     for token in ids:
#         if result and result[-1] == first and token == second:
#             result[-1] = new_id
#         else:
#             result.append(token)
#     return result
# ```
#
# With first and second equal, [7, 7, 7] becomes [300, 7]: the new id is not 7, so it cannot begin another pair.
# </details>
#
# ### Why a leading space matters
#
# `train_tokenizer` makes a tokenizer with the special tokens of RoBERTa. Compare the same word with and without the
# space before it, and in capital letters:

# %%
small_tokenizer = pretraining.train_tokenizer(texts, vocab_size, max_length=small_max_length)
spellings = [" parcel", "parcel", " Parcel", " PARCEL"]
pd.DataFrame({"tokens": [small_tokenizer.tokenize(x) for x in spellings]}, [repr(x) for x in spellings])

# %% [markdown]
# For the model these are different tokens, which it must learn separately. So a word at the very beginning of a text
# has other tokens than elsewhere. And if you give a tokenizer a list of words, as for named entities, each word loses
# its space, without an error:

# %%
sentence = "Where is my parcel now?"
given = {"a text": sentence, "words": sentence.split()}
for name, words in given.items():
    ids = small_tokenizer(words, is_split_into_words=name == "words")["input_ids"]
    print(f"{name}: {' '.join(small_tokenizer.convert_ids_to_tokens(ids))}")

# %% [markdown]
# In the second line, every Ġ is missing. If you have words, load such a tokenizer with `add_prefix_space=True`.
#
# ### Bytes for any text, at a price
#
# With bytes nothing is unknown: even characters that were in no training text come back. A tokenizer of word pieces, as
# the embedded encoder has it, writes [UNK] for unknown characters, and they are lost:

# %%
tokenizer = encoders.load(encoder)[0]
tokenizers = {"small RoBERTa": small_tokenizer, encoder: tokenizer}
strange = "Straße 🙂 你好"
for name, of_model in tokenizers.items():
    back = of_model.decode(of_model(strange, add_special_tokens=False)["input_ids"])
    print(f"{name}: {strange} -> {back}")

# %% [markdown]
# The price is length. *Fertility* is the number of tokens per word. These are our own translations of three sentences.
# They say the same, so compare the tokens as well. "Unknown" is the share of [UNK]:

# %%
languages = {
    "English": ["Where is my parcel?", "It should have come on Monday.", "Please send it to my new address."],
    "German": ["Wo ist mein Paket?", "Es hätte am Montag kommen sollen.", "Bitte an meine neue Adresse schicken."],
    "Spanish": ["¿Dónde está mi paquete?", "Debía llegar el lunes.", "Envíelo a mi nueva dirección, por favor."],
    "Turkish": ["Paketim nerede?", "Pazartesi günü gelmeliydi.", "Lütfen yeni adresime gönderin."],
    "Russian": ["Где моя посылка?", "Она должна была прийти в понедельник.", "Отправьте её на мой новый адрес."],
    "Hindi": ["मेरा पार्सल कहाँ है?", "उसे सोमवार को आना था।", "कृपया उसे मेरे नए पते पर भेजें।"],
    "Chinese": ["我的包裹在哪里？", "它本该星期一到。", "请把它寄到我的新地址。"],
}
table = pretraining.fertility(tokenizers, languages).set_index("texts").rename_axis("language")
of_tokenizer = {name: table[table["tokenizer"] == name].drop(columns="tokenizer") for name in tokenizers}
ours = of_tokenizer["small RoBERTa"]
pd.concat(of_tokenizer, axis=1).round(2)

# %% [markdown]
# A language that was not in the training texts needs more tokens; in another script, nearly every token is a single
# byte. Such texts fill an input sooner, cost more time, and the model has learned little about their pieces. But few
# tokens are no advantage if they are unknown. ("Per word" says nothing about Chinese, which writes no spaces.)
#
# **Exercise.** The Hindi sentences need more tokens than the English ones. How many times as many, with the tokenizer
# of the small RoBERTa?

# %%
times = None  # your answer, from the table
check("13-fertility", times, ours, "Hindi")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# times = ours.loc["Hindi", "tokens"] / ours.loc["English", "tokens"]
# ```
# </details>
#
# ## Gaps: what the model learns from
#
# In *masked language modeling*, 15 % of the tokens are chosen as *targets*, which the model must predict. Of these,
# 80 % become a mask token, 10 % a random token, and 10 % stay as they are
# ([Devlin et al. 2019](https://arxiv.org/abs/1810.04805)):

# %%
masking_fates()

# %% [markdown]
# Why not hide all of them? In later use there is no mask token. Because any visible word may be a target, the model has
# to make a useful vector for every word. In a few lines:

# %%
torch.manual_seed(seed)
ids = torch.tensor(small_tokenizer(f"{sentence} " * 3, verbose=False)["input_ids"])
chosen = (torch.rand(len(ids)) < 0.15) & (ids >= 5)  # ids below 5 are special tokens
fate, drawn = torch.rand(len(ids)), torch.randint(5, len(small_tokenizer), ids.shape)
inputs = torch.where(chosen & (fate < 0.8), small_tokenizer.mask_token_id, ids)
inputs = torch.where(chosen & (fate >= 0.8) & (fate < 0.9), drawn, inputs)
labels = torch.where(chosen, ids, -100)  # -100: no target here
print(small_tokenizer.decode(inputs))

# %% [markdown]
# A gap is one token, so it may be part of a word. `MaskingCollator` does this for a batch, but chooses 15 % of each
# text as nearly as possible. (Independent draws may choose nothing in a short one.) Each call gives other gaps:

# %%
collator = pretraining.MaskingCollator(small_tokenizer, seed=seed)
row = [{"input_ids": ids.tolist()}]
for _ in range(3):
    print(small_tokenizer.decode(collator(row)["input_ids"][0]))

# %% [markdown]
# ### Dynamic masks, and whole words
#
# New gaps in each epoch are *dynamic masking*. *Static* masks are made once, before training, so the same 15 % are the
# targets in each epoch. Which share of the tokens of one document was a target at least once?

# %%
example = [{"input_ids": small_tokenizer(max(texts, key=len), verbose=False)["input_ids"]}]
seen, shares = torch.zeros(len(example[0]["input_ids"]), dtype=torch.bool), []
static = (collator(example)["labels"][0] != -100).float().mean().item()
for _ in range(30):
    seen |= collator(example)["labels"][0] != -100
    shares.append(100 * seen.float().mean().item())
curves = pd.DataFrame({"dynamic": shares, "static": 100 * static}, pd.Index(range(1, 31), name="epoch"))
plots.run_curves(curves, "tokens that were a target (%)", over="epochs")

# %% [markdown]
# BERT had ten static masks for each text, which reach about 80 %. The authors of
# [RoBERTa](https://arxiv.org/abs/1907.11692) report that dynamic masks were as good or slightly better.
#
# **Exercise.** Each epoch chooses each token with the same probability. After how many epochs do you expect that at
# least the given share of the tokens has been a target?


# %%
def epochs_needed(probability, share):
    return None  # your code


check("13-epochs", epochs_needed)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
#
# def epochs_needed(probability, share):
#     return math.ceil(math.log(1 - share) / math.log(1 - probability))
# ```
# </details>
#
# If a word has several tokens and one of them is hidden, its other tokens give it away. *Whole-word masking* chooses
# all tokens of a word. Here half of the tokens are chosen, then half of the words:

# %%
long_words = [{"input_ids": small_tokenizer(" Unfortunately the thermometers arrived smashed")["input_ids"]}]
for whole_words in (False, True):
    options = {"probability": 0.5, "mask_share": 1.0, "random_share": 0.0, "whole_words": whole_words}
    hidden = pretraining.MaskingCollator(small_tokenizer, seed=seed, **options)(long_words)
    print(" ".join(small_tokenizer.convert_ids_to_tokens(hidden["input_ids"][0])))

# %% [markdown]
# In the second line, a word is hidden completely or not at all. RoBERTa does as in the first.
#
# ## A small RoBERTa from nothing
#
# ### Full sentences in each input
#
# Texts differ in length, and padding is wasted work. RoBERTa *packs* full sentences into an input until no further one
# fits. (Only a sentence longer than an input is divided.) After a separator `</s>`, the next document may follow:

# %%
packed = {x: pretraining.pack_sentences(documents[x], small_tokenizer, small_max_length) for x in documents}
crossing = next(row["input_ids"] for row in packed["train"] if row["input_ids"].count(2) > 1)  # 2 is </s>
print(small_tokenizer.decode(crossing))

# %% [markdown]
# What does it save? In batches of 32, for inputs of different lengths, in percent of the tokens:


# %%
def share_of_padding(lengths):
    batches = [lengths[i : i + 32] for i in range(0, len(lengths), 32)]
    return 100 * (1 - sum(lengths) / sum(len(batch) * max(batch) for batch in batches))


rows, lengths = {}, [len(ids) for ids in small_tokenizer(texts, verbose=False)["input_ids"]]
for limit in (32, 128, 512):
    full = [len(row["input_ids"]) for row in pretraining.pack_sentences(documents["train"], small_tokenizer, limit)]
    cut = [min(length, limit) for length in lengths]
    rows[limit] = {"a text in each row: padding": share_of_padding(cut), "cut off": 100 * (1 - sum(cut) / sum(lengths))}
    rows[limit]["packed: padding"] = share_of_padding(full)
pd.DataFrame(rows).T.rename_axis("tokens in an input").round(1)

# %% [markdown]
# With a text in each row, short inputs lose much of the text, and long ones have much padding. Packed inputs lose no
# text, and the longer they are, the smaller is the share of padding. RoBERTa packs 512 tokens. The small model reads
# shorter inputs: it has fewer positions to learn, which helps when the training is this short.
#
# ### What a loss means
#
# The loss is the cross-entropy at the gaps. Two marks help to judge it. A model that knows nothing has a loss of ln V,
# where V is the size of the vocabulary. A model that knows only how frequent each token is has a lower loss, and still
# ignores the text. Below this second mark, a model uses the text around the gap. For the marks and for all later
# comparisons, the gaps of dev are fixed once:

# %%
held_out = pretraining.fixed_batches(packed["dev"][:400], small_tokenizer, seed=seed)
marks = {"knows nothing": math.log(len(small_tokenizer))}
marks["knows frequencies"] = pretraining.unigram_loss(packed["train"], held_out, len(small_tokenizer))
{name: round(loss, 2) for name, loss in marks.items()}

# %% [markdown]
# Now the model: RoBERTa's architecture, in the size that you set above.

# %%
environment.set_seed(seed)
device = environment.best_device()
sizes = {"hidden_size": hidden_size, "num_layers": num_layers, "max_length": small_max_length, "dropout": 0.0}
small = pretraining.new_roberta(small_tokenizer, **sizes).to(device)
print(f"{sum(parameter.numel() for parameter in small.parameters()):,} parameters; RoBERTa-base has 125 million")

# %%
settings = {"lr": 2e-3, "batch_size": 16, "held_out": held_out, "evaluate_every": max(1, num_steps // 8), "seed": seed}
log = LiveTraining(num_steps / (len(packed["train"]) / 16))
history = pretraining.train_masked_lm(small, small_tokenizer, packed["train"], num_steps=num_steps, log=log, **settings)

# %% [markdown]
# The loss on the fixed gaps of dev, beside both marks:


# %%
def loss_curve(history, name):
    return pd.DataFrame(history)[["step", "dev_loss"]].dropna().set_index("step")["dev_loss"].rename(name)


curve = loss_curve(history, "small RoBERTa").to_frame()
plots.run_curves(curve.assign(**marks), "loss on the fixed gaps of dev")

# %% [markdown]
# The frequencies of the tokens are learned first. Below their line, the model uses the context. Do not expect much:
# with the default settings, it makes fewer predictions in its whole training than RoBERTa made in one of its 500,000
# steps, which had 8,000 inputs each. The most probable tokens for each gap `___`:


# %%
def proposals(text):
    gaps = pretraining.fill_gaps(small, small_tokenizer, text, k=6)
    columns = {f"gap {i}": [f"{token!r} {100 * p:.0f} %" for token, p in gap.items()] for i, gap in enumerate(gaps, 1)}
    return pd.DataFrame(columns)


explore(proposals, text="I don___ know. Thank ___ very much!")

# %% [markdown]
# The missing tokens are "'t" and " you": are they in the table? A model that only knows frequencies proposes the same
# tokens, such as " the" or ",", for every gap. Where the proposals differ, it uses the neighbors. Try other gaps.
#
# ## Continue on your domain
#
# You will rarely pretrain from nothing. But you can train a pretrained encoder further, with gaps in your unlabeled
# texts. This is *continued pretraining* ([Gururangan et al. 2020](https://arxiv.org/abs/2004.10964)). It learns from
# texts of train only, although no label is used:

# %%
pd.set_option("display.max_colwidth", 150, "display.html.use_mathjax", False)
data = load_splits(corpus, num_rows, text=text, label=label, seed=seed)
names = data["train"].features["label"].names
domain = {x: pretraining.pack_sentences(documents_of(data[x]), tokenizer, max_length) for x in ("train", "dev")}
domain_gaps = pretraining.fixed_batches(domain["dev"][:96], tokenizer, seed=seed)
print(f"{sum(len(row['input_ids']) for row in domain['train']):,} tokens of {len(data['train']):,} texts to read")

# %% [markdown]
# An encoder predicts tokens with a *masked-language head*. Many encoders, also the embedded one, are published without
# it. The missing weights are random then:

# %%
environment.set_seed(seed)
source, revision = encoders.find(encoder, None)
config = encoders.from_source(transformers.AutoConfig, source, revision)
reader, missing = encoders.load_weights(transformers.AutoModelForMaskedLM, source, revision, config)
print("missing:", ", ".join(sorted(missing)) or "nothing")

# %%
precision, _ = environment.best_precision(device)
encoders.use_fast_layers(reader.to(device), device, precision)
start = pretraining.held_out_loss(reader, domain_gaps)
print(f"loss {start:.2f}; a model that knows nothing has ln V = {math.log(len(tokenizer)):.2f}")

# %% [markdown]
# If the head is missing, the loss is above that of a model that knows nothing. Its gradients would push the encoder in
# random directions. So there are two stages: first the head alone, with the encoder frozen, then everything with a
# lower learning rate. `continue_pretraining` does both:

# %%
head_steps = num_head_steps if missing else 0
log = LiveTraining((head_steps + num_domain_steps) / (len(domain["train"]) / 16))
settings = {"num_head_steps": head_steps, "num_steps": num_domain_steps, "head_lr": 2e-3, "lr": lr, "batch_size": 16}
settings |= {"held_out": domain_gaps, "evaluate_every": max(1, num_domain_steps // 4), "precision": precision}
reading = pretraining.continue_pretraining(reader, tokenizer, domain["train"], log=log, seed=seed, **settings)

# %%
knows = pretraining.unigram_loss(domain["train"], domain_gaps, len(tokenizer))
curve = loss_curve(reading, "encoder and head").to_frame().assign(**{"knows frequencies": knows})
plots.run_curves(curve, "loss on the fixed gaps of dev")

# %% [markdown]
# A missing head learns alone up to step `num_head_steps`; there the loss shows what it can make of the frozen encoder.
# After that, both learn together. Saved as a folder, the encoder is used like any other:

# %%
adapted = tempfile.TemporaryDirectory()
for part in (reader, tokenizer):
    part.save_pretrained(adapted.name)

# %% [markdown]
# ### Does it pay?
#
# A lower loss does not yet mean a better classifier. So fine-tune both encoders with few labels, for equally many
# updates, and from the same random head. Nothing is chosen by these scores, so test may be used:

# %%
gold = {x: torch.tensor(data[x]["label"][:]) for x in data}
examples = {
    x: batching.tokenize(data[x]["text"], tokenizer, labels=data[x]["label"], max_length=max_length) for x in data
}
order = np.random.default_rng(seed).permutation(len(examples["train"]))
test = batching.make_dataloader(examples["test"], tokenizer.pad_token_id, batch_size=32, shuffle=False)


# %%
def fine_tune(folder, num_labels):
    model = encoders.load(folder, names)[1].to(device)
    environment.set_seed(seed)  # after loading, which may use random numbers too
    torch.nn.init.normal_(model.classifier.weight, std=0.02)  # so both encoders get the same head
    encoders.use_fast_layers(model, device, precision)
    rows = [examples["train"][i] for i in order[:num_labels]]
    dataloader = batching.make_dataloader(rows, tokenizer.pad_token_id, batch_size=16, seed=seed)
    num_epochs = math.ceil(num_updates / len(dataloader))
    optimizer = training.make_optimizer(model, lr, head_lr=10 * lr)
    options = {"num_epochs": num_epochs, "precision": precision}
    scheduler = training.make_scheduler(optimizer, num_epochs * len(dataloader))
    training.fit(model, dataloader, objectives.cross_entropy, optimizer, scheduler, **options)
    return model, training.predict(model, test, precision=precision).argmax(-1)


# %%
predicted, models = {}, {}
for num_labels in (50, 200):
    for name, folder in {"as it was": encoder, "after reading": adapted.name}.items():
        models[name], predicted[num_labels, name] = fine_tune(folder, num_labels)
f1 = {key: 100 * metrics.scores(gold["test"], p, len(names))["weighted_f1"] for key, p in predicted.items()}
pd.Series(f1, pd.MultiIndex.from_tuples(f1, names=["labels", "encoder"])).unstack().round(1)

# %%
for num_labels in (50, 200):
    pair = [predicted[num_labels, name] for name in ("as it was", "after reading")]
    gain = metrics.paired_bootstrap(gold["test"], *pair, "weighted_f1", num_classes=len(names), seed=seed)
    difference, low, high = (100 * gain[key] for key in ("difference", "low", "high"))
    print(f"{num_labels} labels: {difference:+.1f} points of weighted F1 on test, {low:+.1f} to {high:+.1f}")

# %% [markdown]
# The intervals cover other test rows. They do not cover other seeds or other labeled rows, which can also move the
# score when labels are few. So one run like this one decides nothing. If the interval contains 0, not even these rows
# show a difference.
#
# A gain is most likely where the domain has much text, few labels, and words of its own. A loss is possible where an
# encoder was trained for something else afterwards. The embedded encoder learned to give similar sentences similar
# vectors, and filling gaps may undo some of that. Measure it before you adopt it.
#
# ## What attention shows
#
# In each layer, several *attention heads* (not the heads that predict) let each token take information from others. The
# weights of one make an attractive picture. Here it is for the classifier trained with 200 labels, and below it the
# attributions of [lesson 3](03_baseline.ipynb): what each token adds to the logit.

# %%
classifier = models["as it was"].eval()
classifier.set_attn_implementation("eager")  # the fused attention does not return its weights


@lru_cache(maxsize=64)
def look_inside(text):
    encoded = tokenizer(text, truncation=True, max_length=24, return_special_tokens_mask=True, return_tensors="pt").to(
        device
    )
    encoded.pop("token_type_ids", None)
    special = encoded.pop("special_tokens_mask")
    with torch.no_grad():
        output = classifier.base_model(**encoded, output_attentions=True)
        target = classifier(**encoded).logits.argmax().item()
    options = {"target": target, "pad_token_id": tokenizer.pad_token_id, "special_tokens_mask": special}
    scores = attribution.integrated_gradients(classifier, **encoded, **options).scores[0].cpu()
    tokens = [tokenizer.decode([i]).strip() for i in encoded["input_ids"][0]]
    return tokens, torch.cat(output.attentions).float().cpu(), scores, target, encoded


# %%
def head_and_tokens(text, layer=1, head=3):
    tokens, attention, scores, target, _ = look_inside(text)  # attention: [layers, heads, tokens, tokens]
    drawing = attention_head(tokens, attention[layer - 1, head - 1].tolist(), f"Layer {layer}, head {head}")
    return [drawing, plots.token_attributions(tokens, scores, names[target])]


num_heads = classifier.config.num_attention_heads
limits = {"layer": (1, classifier.config.num_hidden_layers), "head": (1, num_heads)}
explore(head_and_tokens, text="My parcel came broken, I don't want to keep it.", **limits)

# %% [markdown]
# Compare some heads: many do something simple. How much of its attention does each head give to the token before, to
# the token after, to the token itself, and to the special tokens at the ends? The head with the largest share of each:

# %%
looked = [look_inside(t) for t in data["dev"]["text"][:24]]


def shares_of_heads(attention):
    ends = attention[..., 0].mean(-1) + attention[..., -1].mean(-1)
    parts = {"before": attention.diagonal(-1, -2, -1), "after": attention.diagonal(1, -2, -1)}
    parts["itself"] = attention.diagonal(0, -2, -1)
    return torch.stack([*(part.mean(-1) for part in parts.values()), ends])  # [kinds, layers, heads]


shares = torch.stack([shares_of_heads(attention) for _, attention, *_ in looked]).mean(0)
rows = {}
for kind, part in zip(("the token before", "the token after", "itself", "the special tokens"), shares, strict=True):
    layer, head = divmod(part.argmax().item(), num_heads)
    rows[kind] = {"layer": layer + 1, "head": head + 1, "share (%)": 100 * part.max().item()}
    rows[kind]["mean of all heads (%)"] = 100 * part.mean().item()
pd.DataFrame(rows).T.round(1).astype({"layer": int, "head": int})

# %% [markdown]
# Compare the last two columns: a head far above the mean of all heads has this job. Attention to the special tokens
# often changes little: such a head may have nothing to do
# ([Clark et al. 2019](https://arxiv.org/abs/1906.04341)).
#
# ### Is it an explanation?
#
# A test: replace one token after the other by the mask token, and see how far the logit of the predicted class falls.
# Does the attention that a token receives rank the tokens as this fall does? Do the attributions? (A rank correlation
# of 1 is the same order, 0 no relation.)


# %%
@torch.no_grad()
def falls(target, encoded):
    length = encoded["input_ids"].shape[1]
    rows = encoded["input_ids"].repeat(length, 1)
    rows[torch.arange(length), torch.arange(length)] = tokenizer.mask_token_id
    full = classifier(**encoded).logits[0, target]
    return (full - classifier(rows, encoded["attention_mask"].repeat(length, 1)).logits[:, target]).cpu()[1:-1]


rows = {"attention, last layer": [], "attention, all layers": [], "attributions": []}
for _, attention, scores, target, encoded in looked:
    fall, received = falls(target, encoded), attention.mean((1, 2))[:, 1:-1]  # [layers, tokens without the ends]
    measures = (received[-1], received.mean(0), scores[1:-1])
    for values, measure in zip(rows.values(), measures, strict=True):
        if len(fall) > 2:
            values.append(spearmanr(measure, fall).statistic)
pd.DataFrame({name: {"mean rank correlation": np.nanmean(values)} for name, values in rows.items()}).T.round(2)

# %% [markdown]
# The line with the higher number tells more about what the prediction depends on. Attention says where information may
# flow. It does not say what is done with it: the values, the other layers and the classifier decide that. Whether it
# can be called an explanation is disputed ([Jain and Wallace 2019](https://arxiv.org/abs/1902.10186),
# [Wiegreffe and Pinter 2019](https://arxiv.org/abs/1908.04626)). Hiding has a limit: fine-tuning never showed the
# classifier a mask token.
#
# ## What goes wrong
#
# ### RoBERTa taken for autoregressive
#
# Some tutorials call RoBERTa *autoregressive*. Such a model, like GPT, reads from left to right: no token sees a later
# one. Then another last word could not change the vectors before it. How far does each vector move, in the small
# RoBERTa, and in a copy with the same weights and a causal mask (`is_decoder=True`), which hides later tokens?

# %%
pair = [small_tokenizer(f"Where is my {word}", return_tensors="pt")["input_ids"] for word in ("car", "dog")]
causal_config = transformers.RobertaConfig(**small.config.to_dict() | {"is_decoder": True})
causal = transformers.RobertaModel(causal_config, add_pooling_layer=False).eval()
causal.load_state_dict(small.roberta.state_dict())
length = min(ids.shape[1] for ids in pair)
table = {"token": small_tokenizer.convert_ids_to_tokens(pair[0][0][:length])}
for name, model in {"RoBERTa": small.roberta.cpu().eval(), "with a causal mask": causal}.items():
    with torch.no_grad():
        states = [model(ids).last_hidden_state[0, :length] for ids in pair]
    table[name] = (states[0] - states[1]).abs().amax(-1).tolist()
pd.DataFrame(table).round(3)

# %% [markdown]
# In RoBERTa, the vectors before the last word change as well. With the causal mask, they stay the same: 0. RoBERTa
# reads in both directions, so it can use "today is thursday" for the gap before it.
#
# ### A second task that is not there
#
# The same tutorials say that RoBERTa also learns to predict whether one sentence follows another. BERT did. Each task
# of pretraining needs a head, so look for the heads that exist:

# %%
tiny = {"vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
bert = transformers.BertForPreTraining(transformers.BertConfig(**tiny))
heads = {"BERT": sorted({name.split(".")[1] for name, _ in bert.cls.named_parameters(prefix="cls")})}
heads["RoBERTa"] = sorted({name.split(".")[0] for name, _ in small.named_parameters()} - {"roberta"})
print(heads)
classes = [name for name in dir(transformers) if name.startswith(("BertFor", "RobertaFor"))]
print("classes for the next sentence:", [name for name in classes if "Next" in name])
print("token types:", bert.config.type_vocab_size, "for BERT,", small.config.type_vocab_size, "for RoBERTa")

# %% [markdown]
# BERT has a head for words (`predictions`) and one for the next sentence (`seq_relationship`). RoBERTa has one head,
# for words, and one token type. Its authors removed the other task: without it, with full sentences, the model was at
# least as good. (The pooler of `RobertaModel` was never pretrained.)
#
# ### Translation and summaries
#
# RoBERTa is also said to be good at translation and summaries. Both are new texts of any length.
# Which kinds of task does transformers offer for RoBERTa, and for BART, which has a decoder for writing?

# %%
from transformers.models.auto import modeling_auto

tasks = {
    "fill gaps": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    "text to text": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "classify texts": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
}
kinds = ("roberta", "bart")
print("a RobertaForMaskedLM can generate:", small.can_generate())
pd.DataFrame({task: [kind in known for kind in kinds] for task, known in tasks.items()}, kinds)

# %% [markdown]
# Only BART turns text to text. You can force RoBERTa to write: put a gap at the end, fill it, and repeat.

# %%
written = "Where is my"
for _ in range(10):
    (best,) = pretraining.fill_gaps(small, small_tokenizer, f"{written} ___", k=1)
    written += next(iter(best))
print(written)

# %% [markdown]
# The model here is very small, but a large one has the same handicap: it learned to fill gaps in finished texts. What
# an encoder can do is to *choose*: for instance the sentence whose vector is closest to the mean of all sentences, an
# *extractive* summary.

# %%
document = pretraining.split_sentences(max(load_splits("reviews", num_rows)["dev"]["text"], key=len))
vectors_of = encoders.load(encoder)[1].eval().base_model
batch = tokenizer(document, padding=True, truncation=True, return_tensors="pt")
with torch.no_grad():
    hidden = vectors_of(batch["input_ids"], batch["attention_mask"]).last_hidden_state
vectors = torch.nn.functional.normalize(encoders.mean_over_text(hidden, batch["attention_mask"]), dim=-1)
print("\n".join(document), "\n\nchosen:", document[(vectors @ vectors.mean(0)).argmax().item()])

# %% [markdown]
# ### Random words from all ids
#
# The 10 % random tokens should be ordinary ones. The collator of transformers 5.23 draws them from all ids, so a `</s>`
# or a padding token may be in the middle of a text:

# %%
ordinary = [{"input_ids": [0, *[300] * 60, 2]}] * 200
options = {"mask_replace_prob": 0.0, "random_replace_prob": 1.0, "seed": seed}
theirs = transformers.DataCollatorForLanguageModeling(small_tokenizer, **options)(ordinary)
mine = pretraining.MaskingCollator(small_tokenizer, mask_share=0.0, random_share=1.0, seed=seed)(ordinary)
for name, batch in {"transformers": theirs, "pretraining": mine}.items():
    drawn = batch["input_ids"][batch["labels"] != -100]
    print(f"{name}: {(drawn < 5).sum().item()} of {len(drawn)} random tokens are special ones")

# %% [markdown]
# The smaller the vocabulary, the more often it happens. With RoBERTa's 50,265 tokens it is a small flaw.
#
# ### Other gaps in each evaluation
#
# The same collator draws new masks in each evaluation, unless it has a `seed` and is made again each time. One model,
# four times with it and twice with fixed gaps:

# %%
theirs = transformers.DataCollatorForLanguageModeling(small_tokenizer)
chunks = [packed["dev"][:400][i : i + 32] for i in range(0, len(packed["dev"][:400]), 32)]
changing = [pretraining.held_out_loss(small, [theirs(chunk) for chunk in chunks]) for _ in range(4)]
fixed = [pretraining.held_out_loss(small, held_out) for _ in range(2)]
last = loss_curve(history, "loss").diff().iloc[-1]
print("changing gaps:", ", ".join(f"{loss:.3f}" for loss in changing))
print("fixed gaps:   ", ", ".join(f"{loss:.3f}" for loss in fixed))
print(f"the last eighth of the training changed the loss on fixed gaps by {last:+.3f}")

# %% [markdown]
# If the losses in the first line differ by as much as the change in the last one, changing gaps cannot show whether
# training still helps.
#
# ### Whole words without offsets
#
# `whole_word_mask=True` of the same collator needs to know where words are, but its error does not say so. It also
# replaces every chosen token by the mask token, with a warning:

# %%
import warnings

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    theirs = transformers.DataCollatorForLanguageModeling(small_tokenizer, whole_word_mask=True)
try:
    theirs([{"input_ids": packed["train"][0]["input_ids"]}])
except IndexError as error:
    print("IndexError:", error)
print(f"random words: {theirs.random_replace_prob}; warning: {caught[-1].message}")

# %% [markdown]
# Tokenize with `return_offsets_mapping=True` for it, or use `MaskingCollator(tokenizer, whole_words=True)`, which reads
# the marks of the tokens (Ġ or ##).
#
# ## Exercises
#
# A wrong answer gets a hint, which grows with each try.
#
# **1.** Check a collator. You get the true ids, the ids that the model reads, the labels (-100: no target), and the id
# of the mask token. Return a list of three numbers: how many chosen tokens became the mask token, how many became
# another token, and how many stayed as they were.


# %%
def count_fates(true_ids, input_ids, labels, mask_id):
    return None  # your code


check("13-fates", count_fates)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def count_fates(true_ids, input_ids, labels, mask_id):
#     chosen = [(a, b) for a, b, label in zip(true_ids, input_ids, labels) if label != -100]
#     masked = sum(b == mask_id for a, b in chosen)
#     kept = sum(a == b for a, b in chosen)
#     return [masked, len(chosen) - masked - kept, kept]
# ```
# </details>
#
# ## Quiz
#
# Three questions on this lesson:

# %%
quiz("13-random")
quiz("13-fixed")
quiz("13-unlabeled")

# %% [markdown]
# ## Recap
#
# - A byte-level tokenizer can write every text. What it did not see in training becomes many tokens.
# - Masked language modeling chooses 15 % of the tokens, again in each batch. Evaluate on gaps that are fixed.
# - Compare a loss with ln V and with the loss of a model that knows frequencies only.
# - Train a missing head first. Use unlabeled texts of train only, and measure whether the classifier gains.
# - RoBERTa reads in both directions, has one task in pretraining, and does not write texts.
# - Attention shows where information may flow. Check explanations by hiding tokens.
#
# Next, [lesson 8](08_rare_classes.ipynb) makes more of few labels, and [lesson 10](10_distillation.ipynb) makes the
# encoder smaller. The last cell has the number that `nbhelpers run` shows for this lesson: the loss of the small
# RoBERTa on the fixed gaps.

# %%
headline("loss of the small RoBERTa on fixed gaps", history[-1]["dev_loss"])
