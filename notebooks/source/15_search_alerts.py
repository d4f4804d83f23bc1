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
# # 15. Search, recommendation, alerts
#
# *"Coffee went over that blinking thing you gave us for the web. Dead as a doornail. What now?"* A customer of a city's
# internet service writes this into the search box of its help pages. The right page is called "Replacing a broken
# router" and says that damage by liquids costs 70 euros. Question and page have hardly a word in common. How do you
# find the page? And how do you notice that a question has no page at all?
#
# After this lesson you can
#
# - search texts by words and by meaning, fine-tune an encoder for it, and say how certain its scores are,
# - choose on dev when a search should give no answer, and choose between exact and approximate search,
# - recommend texts to readers, also texts that nobody has read yet,
# - raise an alert when the news about a company changes, and count its false alarms.
#
# You should know mean pooling, the cross-entropy and the bootstrap interval ([lesson 3](03_baseline.ipynb)).
#
# <!-- facts -->
# Measured: default profile 1.9 min, 4.5 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | Pages and questions | 1 |
# | Search by words | 1 |
# | How good is a ranking? | 2 |
# | Search by meaning | 2 |
# | Fine-tune: the other answers are the negatives | 5 |
# | A cross-encoder reads the ten best | 2 |
# | When no page answers | 2 |
# | Exact or approximate search | 2 |
# | What a reader may like | 3 |
# | Alerts: the news about a company has turned | 9 |
# | What goes wrong | 5 |
# | Exercises | 2 |
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
# The picture shows how a text becomes probabilities. A search stops in the middle: it compares the pooled vectors of
# texts with each other, and needs no classes.

# %%
from nbhelpers.course.lesson import LiveTraining, check, diagrams, explore, headline, quiz

diagrams.path(["encoder", "pooling"])

# %%
import math
import re
import tempfile
import time
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import torch
import transformers
from torch.nn import functional as F
from torch.utils.data import DataLoader

# %%
from nbhelpers import batching, corpora, encoders, environment, objectives, plots, retrieval, training
from nbhelpers.course.diagrams.retrieval import in_batch_negatives, two_readers
from nbhelpers.course.questions import load_items, load_questions
from nbhelpers.course.readers import simulate_reads

pd.set_option("display.max_colwidth", 110, "display.html.use_mathjax", False)
transformers.utils.logging.disable_progress_bar()  # its bars are widgets, which a saved notebook cannot show

# %% [markdown]
# What can be set in this lesson:

# %% cellView="form" tags=["parameters"]
# @markdown "faq" (included), or a folder with answers.csv (id, title, answer) and splits with text and answer.
faq = "faq"  # @param {type: "string"}
# @markdown "topics" (included), or a folder with splits that have text, label and date: what readers read.
news = "topics"  # @param {type: "string"}
# @markdown "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown Share of the pages whose training questions are left out, to see how well the model finds new pages.
held_out_share = 0.2  # @param {type: "number"}
# @markdown Number of passes over the training questions.
num_epochs = 2  # @param {type: "integer"}
# @markdown Peak learning rate; roberta-large needs about 0.00001.
lr = 1e-4  # @param {type: "number"}
# @markdown Largest number of questions in a batch, and so of in-batch negatives.
batch_size = 32  # @param {type: "integer"}
# @markdown Number of hard negatives for each question.
num_negatives = 1  # @param {type: "integer"}
# @markdown Longer texts are truncated to this many tokens.
max_length = 128  # @param {type: "integer"}
# @markdown Number of pairs of a question and a page that the cross-encoder is trained on.
num_pairs = 400  # @param {type: "integer"}
# @markdown Number of test questions whose ten best answers the cross-encoder reads.
num_reranked = 60  # @param {type: "integer"}
# @markdown Number of vectors of the large index.
num_vectors = 100000  # @param {type: "integer"}
# @markdown Number of simulated readers.
num_readers = 400  # @param {type: "integer"}
# @markdown "finance" (included), or a folder of dated sentences on companies: text, label, date, company.
stream = "finance"  # @param {type: "string"}
# @markdown The label that alerts watch.
watched = "negative"  # @param {type: "string"}
# @markdown An alert should come soon if this share of the stories about a company has the label.
raised_share = 0.6  # @param {type: "number"}
# @markdown The price of the alerts: one false alarm in this many stories, counted over all companies.
stories_per_false_alarm = 400  # @param {type: "integer"}
# @markdown Use only this many sentences of the stream; 0 uses all.
num_sentences = 0  # @param {type: "integer"}
# @markdown Use only this many questions of each split, spread over it; 0 uses all.
num_questions = 0  # @param {type: "integer"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# ## Pages and questions
#
# The included corpus has the help pages of an invented city (also called answers or documents), and questions. Each
# page has three questions in train, one in dev and one in test (*answered* in the table). The other questions have no
# page: *near* ones are about a subject of the pages, but no page has the answer, and *far* ones are about something
# else.

# %%
answers, questions = load_questions(faq, num_questions)
documents = answers["document"].tolist()
pd.DataFrame({split: rows["kind"].value_counts() for split, rows in questions.items()}).fillna(0).astype(int)

# %% [markdown]
# To see how a fine-tuned model does on a page that was written after its training, the lesson leaves out all training
# questions of some pages. They are the *new pages*; the others are *known*. Here are some questions of test with the
# pages that answer them:

# %%
order = np.random.default_rng(seed).permutation(len(documents))
new_pages = set(order[: round(held_out_share * len(documents))].tolist())
answered = {split: rows[rows["number"] >= 0].reset_index(drop=True) for split, rows in questions.items()}
answered["train"] = answered["train"][~answered["train"]["number"].isin(new_pages)].reset_index(drop=True)

# %%
relevant = {split: [{number} for number in rows["number"]] for split, rows in answered.items()}
is_new = answered["test"]["number"].isin(new_pages).to_numpy()
some = answered["test"].iloc[:4]
pd.DataFrame({"question": some["text"], "page": [documents[number] for number in some["number"]]})

# %% [markdown]
# ## Search by words
#
# The oldest way is still a good start: count the words that a question and a page share. A rare word should count more
# than a frequent one (`idf`), the tenth repetition less than the first (`tf` and `k1`), and a long page should not win
# just because it is long (`length` and `b`). *BM25* does these three things. Words such as "the" are left out as *stop
# words*:


# %%
def words_of(text):
    return [word for word in re.findall(r"\w\w+", text.lower()) if word not in stopwords]


def bm25(question, document, k1=1.5, b=0.75):
    words, total = words_of(document), 0.0
    length = 1 - b + b * len(words) / mean_length  # above 1 for a long page
    for word in words_of(question):
        tf, n = words.count(word), pages_with.get(word, 0)
        idf = math.log(1 + (len(documents) - n + 0.5) / (n + 0.5))  # large for a rare word
        total += idf * tf / (tf + k1 * length)
    return total


# %%
from bm25s.stopwords import STOPWORDS_EN

stopwords = set(STOPWORDS_EN)
page_words = [words_of(document) for document in documents]
mean_length = np.mean([len(words) for words in page_words])
pages_with = pd.Series([word for words in page_words for word in set(words)]).value_counts().to_dict()

# %% [markdown]
# The package [bm25s](https://github.com/xhluca/bm25s) does the same for millions of texts, and the helper `bm25_scores`
# calls it. For one question and the first 20 pages, both should agree up to rounding:

# %%
texts = {split: rows["text"].tolist() for split, rows in answered.items()}
by_hand = np.array([bm25(texts["test"][0], document) for document in documents[:20]])
scores = {"BM25": retrieval.bm25_scores(texts["test"], documents)}  # [questions, documents]
print(f"largest difference to the package: {abs(by_hand - scores['BM25'][0, :20]).max():.0e}")

# %% [markdown]
# ## How good is a ranking?
#
# A search returns pages in an order, the *ranking*. Four scores are usual, each for the first k places: MRR (mean
# reciprocal rank), nDCG (normalized discounted cumulative gain), hit and recall. Say that one page is *relevant* (it
# answers the question) and in the third place:

# %%
ranking, right_page = [8, 5, 2, 7], 2
place = ranking.index(right_page) + 1
print(f"MRR@4: 1 / rank = {1 / place:.3f}")
print(f"nDCG@4: 1 / log2(1 + rank) = {1 / math.log2(1 + place):.3f}")
print(f"hit@4: {int(place <= 4)}, hit@2: {int(place <= 2)}")

# %% [markdown]
# *MRR@k* is 0 if the page is beyond place k; some programs go on counting there, and their MRR is higher. *nDCG@k* adds
# up grade / log2(1 + rank) and divides by the largest possible sum. For example, a page that answers only half has the
# *grade* 1, and one that answers everything 2. MRR does not know grades. *recall@k* is the share of the relevant pages
# that was found, and *hit@k* is 1 if any was found. With one relevant page, as here, both are the same.
#
# If two pages have the same score, their order in the file would decide, which is luck. When `rank_items` is told which
# page is relevant, it puts this one last among equals. A page with a BM25 score of 0 was not found at all (`above=0`).
#
# **Exercise.** Write MRR@k for one question. You get a ranking of page numbers, a list of the relevant ones, and k.


# %%
def reciprocal_rank(ranking, relevant, k):
    return None  # your code


check("15-mrr", reciprocal_rank)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def reciprocal_rank(ranking, relevant, k):
#     places = [place for place, page in enumerate(ranking[:k], start=1) if page in relevant]
#     return 1 / places[0] if places else 0.0
# ```
# </details>
#
# Now BM25 on all answered questions of test, in percent. hit@10 minus hit@1 is the share whose page was found, but not
# in the first place. The bootstrap interval says how much the mean depends on which questions happen to be in test:


# %%
def score(scores, split="test", above=-np.inf):
    ranking = retrieval.rank_items(scores, 10, above=above, relevant_last=relevant[split])
    rows = retrieval.score_rankings(ranking, relevant[split], k=10)
    return rows.assign(**{"hit@1": (rows["MRR@10"] == 1).astype(float)})


def show(scored):
    measures = ["MRR@10", "nDCG@10", "hit@1", "hit@10"]
    table = pd.DataFrame({name: 100 * rows[measures].mean() for name, rows in scored.items()}).T.round(1)
    ends = [retrieval.mean_interval(100 * rows["MRR@10"], seed=seed) for rows in scored.values()]
    return table.assign(**{"MRR, 95 % interval": [f"{low:.1f} to {high:.1f}" for _, low, high in ends]})


# %%
scored = {"BM25": score(scores["BM25"], above=0)}
show(scored)

# %% [markdown]
# ## Search by meaning
#
# BM25 cannot know that a "blinking thing for the web" is a router. An encoder may know it. Its token vectors are
# averaged, as in [lesson 3](03_baseline.ipynb), and the mean is *normalized*: divided by its own length, so that all
# vectors have length 1. The inner product of two such vectors is their cosine, from -1 to 1. Written out for the first
# question and the first page, whatever they are about:

# %%
device = environment.best_device()
precision, _ = environment.best_precision(device)


def new_model():
    environment.set_seed(seed)
    tokenizer, model = encoders.load(encoder, ("no", "yes"))  # the head is for the cross-encoder below
    encoders.use_fast_layers(model.to(device), device, precision)
    return corpora.normalizing_tokenizer(tokenizer), model


tokenizer, model = new_model()
plain = model.base_model.eval()  # the encoder without the head

# %%
pair = tokenizer([texts["test"][0], documents[0]], padding=True, return_tensors="pt").to(device)
with torch.no_grad():
    hidden = plain(pair["input_ids"], pair["attention_mask"]).last_hidden_state.float()  # [2, tokens, hidden]

# %%
mask = pair["attention_mask"].unsqueeze(-1)
mean = (hidden * mask).sum(1) / mask.sum(1)
unit = mean / mean.norm(dim=-1, keepdim=True)
of_question, of_page = mean.norm(dim=-1).tolist()
print(f"lengths before: {of_question:.2f} and {of_page:.2f}; cosine: {(unit[0] @ unit[1]).item():.3f}")

# %% [markdown]
# The lengths before normalizing differ. `retrieval.encode` does this in batches. The pages are encoded once, a question
# when it is asked. `embed` returns the vectors of all pages and questions from one encoder:

# %%
encode = partial(retrieval.encode, tokenizer=tokenizer, max_length=max_length, precision=precision)


def embed(model):
    asked = {split: encode(questions[split]["text"].tolist(), encoder=model) for split in ("dev", "test")}
    return {"pages": encode(documents, encoder=model), **asked}


def cosines(name, split):
    has_page = (questions[split]["number"] >= 0).to_numpy()
    return (vectors[name][split] @ vectors[name]["pages"].T)[has_page]  # [questions, pages]


# %%
vectors = {"encoder": embed(plain)}
scores["encoder"] = cosines("encoder", "test")
scored["encoder"] = score(scores["encoder"])
show(scored)

# %% [markdown]
# Is the difference certain? Both methods answered the same questions, and a hard question is hard for both. So take the
# difference for each question, and the interval of its mean. Above 0, the method named first is better:


# %%
def compare(first, second):
    rows = [100 * x["MRR@10"] for x in (first, second)]
    found = retrieval.paired_difference(*rows, seed=seed)
    return f"{found['difference']:+.1f} points of MRR@10, {found['low']:+.1f} to {found['high']:+.1f}"


print("encoder against BM25:", compare(scored["BM25"], scored["encoder"]))

# %% [markdown]
# If the interval contains 0, these questions do not show which one is better. Where does the difference come from? The
# questions of the included corpus were asked in five ways. The table has MRR@10 in percent for each:

# %%
ways = {"1": "plain", "2": "keywords", "3": "no word of the page", "4": "typing errors", "5": "a long story"}


def by_way(scored):
    way = answered["test"].get("way", pd.Series("all", answered["test"].index)).map(lambda x: ways.get(x, x))
    return pd.DataFrame({name: (100 * rows["MRR@10"]).groupby(way).mean() for name, rows in scored.items()}).round(1)


by_way(scored)

# %% [markdown]
# In the line "no word of the page", BM25 has nothing to go by. In "keywords" and "plain" it does best, so compare the
# methods there. Do they complement each other? *Reciprocal rank fusion* joins their rankings without their scores,
# which have different scales: a page gets 1 / (60 + rank) from each ranking, and the sums are sorted.

# %%
ranked = [retrieval.rank_items(scores["BM25"], 50, above=0), retrieval.rank_items(scores["encoder"], 50)]
scored["BM25 and encoder"] = score(retrieval.fuse_rankings(*ranked, num_items=len(documents)))
print("both against the encoder:", compare(scored["encoder"], scored["BM25 and encoder"]))

# %% [markdown]
# Fusion trusts both methods equally. Above 0, they complement each other. Below 0, the weaker one pulls the stronger
# one down, most of all where it finds only wrong pages. Then use BM25 for names and numbers alone.
#
# Now ask a question of your own. The table has the three best pages by words and by meaning, after their scores:

# %%
page_vectors = vectors["encoder"]["pages"]
names = answers.get("title", answers["id"]).tolist()


def ask(question):
    found = {"words": retrieval.bm25_scores([question], documents)[0]}
    found["meaning"] = page_vectors @ encode([question], encoder=plain)[0]
    best = {name: retrieval.rank_items(values, 3)[0] for name, values in found.items()}
    return pd.DataFrame({x: [f"{found[x][i]:.2f}  {names[i]}" for i in rows] for x, rows in best.items()}, [1, 2, 3])


explore(ask, question="Coffee went over that blinking thing you gave us for the web. What now?")

# %% [markdown]
# ## Fine-tune: the other answers are the negatives
#
# The encoder was not trained on these pages. Training should pull the vector of a question toward that of its page, and
# push it away from others. Which others? The cheapest choice is the pages of the other questions in the same batch, the
# *in-batch negatives*. Choose a question and read its row:

# %%
explore(in_batch_negatives, question=(1, 4))

# %% [markdown]
# Each row is a classification: which of the pages of this batch is mine? So the loss is a cross-entropy, where the
# logits are the cosines times a *scale* of 20. Without the scale, the softmax over numbers from -1 to 1 would be nearly
# flat. The loss has several names: multiple negatives ranking loss, InfoNCE, in-batch negatives loss. Here are four
# questions and four pages; for this example, the last page is a copy of the first:

# %%
asked = torch.tensor(encode(texts["train"][:4], encoder=plain))
number = torch.tensor([*answered["train"]["number"][:3], answered["train"]["number"][0]])
pages = torch.tensor(page_vectors)[number]

# %%
logits = 20 * asked @ pages.T  # [questions, pages]
is_copy = (number[:, None] == number[None, :]) & ~torch.eye(4, dtype=torch.bool)
loss = F.cross_entropy(logits.masked_fill(is_copy, -torch.inf), torch.arange(4))
helper = retrieval.multiple_negatives_loss(asked, pages, number)
print(f"by hand {loss:.4f}, the helper {helper:.4f}, with the copies {F.cross_entropy(logits, torch.arange(4)):.4f}")

# %% [markdown]
# The first two numbers agree. Many scripts lack `masked_fill`, and compute the third. Two questions of a batch may have
# the same page, which is then in the batch twice. The copy is a right answer and must not be a negative.
#
# **Exercise.** How many wrong negatives are in a batch? You get the numbers of its pages, for instance `[4, 7, 4, 4]`.
# Count the pairs (question, page of another question) in which both questions have the same page.


# %%
def wrong_negatives(numbers):
    return None  # your code


check("15-copies", wrong_negatives)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def wrong_negatives(numbers):
#     return sum(a == b for i, a in enumerate(numbers) for j, b in enumerate(numbers) if i != j)
# ```
# </details>
#
# Now train. `PairCollator` puts questions and pages into a batch, and `contrastive_objective` encodes both with the
# same encoder and computes the loss. The training loop is that of all lessons. Watch the loss: it should fall.

# %%
page_ids = [row["input_ids"] for row in batching.tokenize(documents, tokenizer, max_length=max_length)]
labels = answered["train"]["number"].tolist()
examples = batching.tokenize(texts["train"], tokenizer, labels=labels, max_length=max_length)
collate = retrieval.PairCollator(page_ids, tokenizer.pad_token_id)


def train(examples):
    model = new_model()[1].base_model
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(examples, batch_size=batch_size, shuffle=True, generator=order, collate_fn=collate)
    optimizer = training.make_optimizer(model, lr)
    scheduler = training.make_scheduler(optimizer, num_epochs * len(loader))
    settings = {"num_epochs": num_epochs, "precision": precision, "log": LiveTraining(num_epochs)}
    training.fit(model, loader, retrieval.contrastive_objective, optimizer, scheduler, **settings)
    return model


# %%
models = {"encoder": plain, "in-batch negatives": train(examples)}

# %% [markdown]
# Most in-batch negatives are easy: a page about dogs is far from a question about a router anyway. *Hard negatives*
# are the wrong pages that the encoder ranks highest. Take them for questions of train only. Here is one for the first
# question:

# %%
train_vectors = encode(texts["train"], encoder=plain)
hard = retrieval.hard_negatives(train_vectors @ page_vectors.T, relevant["train"], num_negatives)
rows = {"question": texts["train"][0], "its page": documents[labels[0]], "hard negative": documents[hard[0][0]]}
pd.DataFrame({"text": rows})

# %% [markdown]
# Read some of them in your own data. Where the hard negative also answers the question, training would push away what
# should be found; leave out the highest ones then (`skip=`).

# %%
with_hard = [{**row, "negatives": wrong} for row, wrong in zip(examples, hard, strict=True)]
models["hard negatives"] = train(with_hard)

# %%
for name in ("in-batch negatives", "hard negatives"):
    vectors[name] = embed(models[name])
    scores[name] = cosines(name, "test")
    scored[name] = score(scores[name])
    print(f"{name} against the encoder as it was: {compare(scored['encoder'], scored[name])}")
show(scored)

# %% [markdown]
# Look at the intervals of the differences before you believe the order of the lines. A few hundred questions can only
# show differences of several points. The embedded encoder was itself trained on a billion pairs of texts, so little may
# be left to gain. An encoder such as `roberta-base`, which was never trained to compare texts, usually gains far more.
# And one seed proves nothing about the methods.
#
# From here on, the lesson uses the encoder that is best on dev, even if it wins by luck:

# %%
dev_mrr = {name: 100 * score(cosines(name, "dev"), "dev")["MRR@10"].mean() for name in models}
best_name = max(dev_mrr, key=dev_mrr.get)
print("MRR@10 on dev:", ", ".join(f"{name} {value:.1f}" for name, value in dev_mrr.items()), "- best:", best_name)

# %% [markdown]
# Is the gain only on pages whose questions were in train?


# %%
def by_page(scored):
    group = np.where(is_new, "new pages", "known pages")
    rows = {name: (100 * x["MRR@10"]).groupby(group).mean() for name, x in scored.items()}
    return pd.DataFrame(rows).T.assign(**{"questions, new": is_new.sum(), "questions, known": (~is_new).sum()}).round(1)


by_page(scored)

# %% [markdown]
# In each column, compare the trained encoders with the line "encoder". Do not compare the columns: one group of pages
# may simply be easier. The gain on new pages is what to expect for pages that are written next year, but few questions
# leave it uncertain.
#
# <details><summary>The same with sentence-transformers</summary>
#
# The package has the loss, a trainer and a sampler without copies. `SentenceTransformerTrainer` takes a data set with
# the columns anchor, positive and negative:
#
# ```python
# from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
# from sentence_transformers import SentenceTransformerTrainingArguments
# from sentence_transformers.sentence_transformer import losses  # older versions: from sentence_transformers
#
# model = SentenceTransformer("sentence-transformers/all-MiniLM-L6-v2")
# arguments = SentenceTransformerTrainingArguments("out", batch_sampler="no_duplicates")
# loss = losses.MultipleNegativesRankingLoss(model)
# SentenceTransformerTrainer(model, arguments, train_dataset=data_set, loss=loss).train()
# ```
#
# Without `"no_duplicates"`, a copy of a page is a negative there. Without copies, its loss and ours are equal.
# </details>
#
# ## A cross-encoder reads the ten best
#
# An encoder reads question and page separately, so it cannot compare them word by word. A *cross-encoder* reads both
# as one text:

# %%
two_readers()

# %% [markdown]
# It sees more, but nothing can be computed in advance. So it usually gets only the ten best pages of the encoder and
# sorts them again: *reranking*. It is a classifier for pairs: does this page answer this question? Train it on
# questions of train with their own pages (class 1), and with wrong pages that the encoder ranks high (class 0).

# %%
pairs = [(question, documents[i], 1) for question, i in zip(texts["train"], labels, strict=True)]
pairs += [(question, documents[wrong[0]], 0) for question, wrong in zip(texts["train"], hard, strict=True)]
pairs = [pairs[i] for i in np.random.default_rng(seed).permutation(len(pairs))[:num_pairs]]

# %%
columns = [list(column) for column in zip(*pairs, strict=True)]
pair_length = min(2 * max_length, tokenizer.model_max_length)
pair_examples = batching.tokenize(columns[0], tokenizer, pairs=columns[1], labels=columns[2], max_length=pair_length)
_, cross_encoder = new_model()

# %%
loader = batching.make_dataloader(pair_examples, tokenizer.pad_token_id, batch_size=batch_size, seed=seed)
optimizer = training.make_optimizer(cross_encoder, lr, head_lr=10 * lr)
scheduler = training.make_scheduler(optimizer, len(loader))
settings = {"num_epochs": 1, "precision": precision, "log": LiveTraining(1)}

# %%
steps = training.fit(cross_encoder, loader, objectives.cross_entropy, optimizer, scheduler, **settings)
last = np.mean([step["train_loss"] for step in steps[-len(steps) // 4 :]])
print(f"loss in the last quarter of the batches: {last:.2f}; one that knows nothing has ln 2 = {math.log(2):.2f}")

# %% [markdown]
# Then it reads the ten best pages of some test questions, and sorts them by the logit of 1 minus that of 0:

# %%
chosen = np.unique(np.linspace(0, len(texts["test"]) - 1, min(num_reranked, len(texts["test"]))).astype(int))
ten = retrieval.rank_items(scores[best_name][chosen], 10, relevant_last=[relevant["test"][i] for i in chosen])
asked = [texts["test"][i] for i in chosen for _ in ten[0]]
read = batching.tokenize(asked, tokenizer, pairs=[documents[i] for i in ten.ravel()], max_length=pair_length)

# %%
start = time.perf_counter()
pair_loader = batching.make_dataloader(read, tokenizer.pad_token_id, batch_size=64, shuffle=False)
logits = training.predict(cross_encoder, pair_loader, precision=precision)  # [pairs, 2]
seconds = time.perf_counter() - start
order = (logits[:, 0] - logits[:, 1]).view(len(ten), -1).argsort(dim=1, stable=True).numpy()

# %%
reranked = np.take_along_axis(ten, order, axis=1)
of_chosen = [relevant["test"][i] for i in chosen]
both = {best_name: ten, "cross-encoder": reranked}
both = {name: retrieval.score_rankings(x, of_chosen, k=10) for name, x in both.items()}

# %%
means = {name: 100 * rows["MRR@10"].mean() for name, rows in both.items()}
# if the ten pages are in a random order, the mean of 1 / rank over the ten places
means["by chance"] = 100 * both[best_name]["hit@10"].mean() * np.mean(1 / np.arange(1, 11))
print("MRR@10:", ", ".join(f"{name} {value:.1f}" for name, value in means.items()))
print(f"difference: {compare(*both.values())} on {len(chosen)} questions")
print(f"it read {len(asked)} pairs in {seconds:.1f} s: {1000 * seconds / len(chosen):.0f} ms for each question")

# %% [markdown]
# The difference is that of the cross-encoder minus the encoder. Both have the same hit@10, because the cross-encoder
# only sorts what it is given. Look at the loss first. If it is close to ln 2, the cross-encoder has learned hardly
# anything, and is close to a random order of the ten ("by chance"). That is no fault of the method. An encoder that was
# trained for cosines has never read a question and a page together, and some hundred pairs are few to learn that from.
# Public cross-encoders, such as `cross-encoder/ms-marco-MiniLM-L6-v2` on the Hub, have read far more pairs. Keep a
# reranker only if the interval of the difference is above 0, and if the milliseconds are worth it.
#
# ## When no page answers
#
# A search always finds a nearest page, also for a question that no page answers. So show a page only if its cosine
# reaches a *threshold*. Choose it on dev: it should let through many right answers and few wrong ones.
# `choose_threshold` takes the threshold with the most right answers minus wrong answers. With `wrong_cost=3`, each
# wrong answer counts three times, so the threshold cannot be lower:


# %%
def best_hits(name, split):
    table = vectors[name][split] @ vectors[name]["pages"].T  # of all questions
    best = table.argmax(axis=1)
    return table.max(axis=1), best == questions[split]["number"].to_numpy()


hits = {(name, split): best_hits(name, split) for name in models for split in ("dev", "test")}
threshold = retrieval.choose_threshold(*hits[best_name, "dev"])
print(
    f"threshold {threshold:.3f}; if a wrong answer costs 3: "
    f"{retrieval.choose_threshold(*hits[best_name, 'dev'], wrong_cost=3):.3f}"
)

# %% [markdown]
# What happens to each kind of question of dev, in percent? Move the threshold and watch "near" and "answered":

# %%
question_kinds = {split: questions[split]["kind"].tolist() for split in ("dev", "test")}
start_at = min(round(threshold, 2), 1.0)


def at_threshold(threshold=start_at):
    rates = retrieval.answer_rates(*hits[best_name, "dev"], question_kinds["dev"], threshold)
    return (100 * rates).assign(questions=rates["questions"]).round(1)


explore(at_threshold, threshold=(0.0, 1.0, 0.01))

# %% [markdown]
# The price of a threshold is in the line "answered": questions that have a page and get no answer. Near questions are
# about the same things as the pages, so their cosine can be as high. If more near than far ones get a wrong answer, a
# report that has only far ones, such as questions about the weather, promises too much. With few questions in a line,
# small differences are luck. Now test, with the threshold from dev:

# %%
rates = retrieval.answer_rates(*hits[best_name, "test"], question_kinds["test"], threshold)
(100 * rates).assign(questions=rates["questions"]).round(1)

# %% [markdown]
# **Exercise.** How many percent of all *unanswerable* questions of test, near and far together, get a wrong answer?

# %%
wrong_percent = None  # your answer, from the table
check("15-wrong", wrong_percent, hits[best_name, "test"][0], question_kinds["test"], threshold)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# unanswerable = rates.drop("answered")
# shares, sizes = unanswerable["wrong answer"], unanswerable["questions"]
# wrong_percent = 100 * (shares * sizes).sum() / sizes.sum()
# ```
# </details>
#
# For your own service, `retrieval.Index` keeps texts and vectors together. It is saved as plain files, and it notices
# if it is loaded with another encoder:

# %%
index = retrieval.Index(partial(encode, encoder=models[best_name]))
index.add(answers["id"].tolist(), documents)
folder = Path(tempfile.mkdtemp(), "pages")
index.save(folder)
index = retrieval.Index.load(folder, partial(encode, encoder=models[best_name]))
[hits_of_question] = index.search(["Who takes away my old sofa?"], k=3)
pd.DataFrame(hits_of_question)

# %% [markdown]
# Compare the scores with the threshold above. With `threshold=`, lower hits are left out, and the list may be empty.
#
# ## Exact or approximate search
#
# The search above compares a question with every page. That is *exact*, and for a few thousand pages it takes less time
# than encoding the question. With many more, an *approximate* index looks only where the nearest vectors are likely to
# be. *IVF* (inverted file) sorts the vectors into lists around centers, and searches the lists whose centers are
# nearest. *HNSW* (hierarchical navigable small world) links each vector to near ones and walks along the links.
#
# What do they save, and what do they miss? The vectors of texts are not spread evenly, so the test mixes the vectors of
# the pages and the news, and adds noise. First encode the news, which the next part needs as well:

# %%
items = load_items(news, 4 * num_questions)
item_vectors = encode(items["text"].tolist(), encoder=plain)

# %%
base = np.concatenate([page_vectors, item_vectors])


def mixed_vectors(number, rng):
    mixed = sum(base[rng.integers(len(base), size=number)] * weight for weight in (1.0, 0.5, 0.25))
    mixed += 0.5 / mixed.shape[1] ** 0.5 * rng.standard_normal(mixed.shape, dtype=np.float32)
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


rng = np.random.default_rng(seed)
many, queries = mixed_vectors(num_vectors, rng), mixed_vectors(100, rng)


# %%
def measure(vectors, kind):
    start = time.perf_counter()
    made = None if kind == "numpy" else retrieval.make_faiss_index(vectors, kind, seed=seed)
    built = time.perf_counter()
    search = partial(retrieval.exact_search, vectors) if made is None else made.search
    found = np.concatenate([search(query, 10)[1] for query in queries[:, None]])  # one at a time, as in a service
    asked = time.perf_counter()
    size = vectors.nbytes if made is None else faiss.serialize_index(made).nbytes
    columns = {"build (s)": built - start, "search (ms a query)": 1000 * (asked - built) / len(queries)}
    return {**columns, "memory (MiB)": size / 2**20}, found


# %%
table = {}
for number, names_of in ((1000, ("numpy", "faiss", "hnsw", "ivf")), (num_vectors, ("numpy", "faiss", "ivf"))):
    exact = retrieval.exact_search(many[:number], queries, 10)[1]
    for kind in names_of:
        table[f"{number:,} vectors, {kind}"], found = measure(many[:number], kind)
        table[f"{number:,} vectors, {kind}"]["found of the exact ten (%)"] = 100 * retrieval.index_recall(found, exact)
pd.DataFrame(table).T.round(2)

# %% [markdown]
# "faiss" is the exact search of the package, and "numpy" that of a few lines of code. For the small index, every line
# is fast and there is nothing to gain. For the large index compare the milliseconds, and then the last column: the
# share of the ten nearest vectors that was found. What an approximate index misses, no reranking brings back. That
# column judges the index alone. An exact search with a bad encoder has 100 % there.
#
# HNSW takes much longer to build for many vectors; `tests/benchmarks/search_index.py` measures all four for a million.
#
# ## What a reader may like
#
# A recommendation is a search without a question. What a reader has read takes its place. There are two sources: the
# texts, and the other readers. The texts here are short news. Nobody has read them, so the readers are *simulated*, as
# `nbhelpers/course/readers.py` describes. In up to 30 % of the reads, a reader follows a story: texts that share names.
# In up to 30 %, a reader takes what somebody of the same *circle* has read; no text says who is in it. Otherwise a
# reader chooses by *desk* (the label, such as sports), appeal and age.

# %%
reads = simulate_reads(items, num_readers, seed=seed)
readers_of = reads["item"].value_counts()
print(f"{len(reads):,} reads by {num_readers} readers")
print(f"{(readers_of == 1).sum()} items have one reader, the most popular one has {readers_of.max()}")

# %% [markdown]
# Some items have far more readers than others. Split by time: the methods learn from what was read before a day, and
# recommend for the 30 days that follow. Also split by reader: every fifth reader is *new*. The methods get the history
# of new readers only when they recommend for them. An item that was published on the day or later is *cold*: it has no
# reader yet. The others are *warm*.

# %%
published = pd.to_datetime(items["date"])
day = published.quantile(0.75)
end = day + pd.Timedelta(days=30)
before, after = reads["date"] < day, (reads["date"] >= day) & (reads["date"] < end)
is_new_reader = reads["reader"] % 5 == 0


def matrix(rows):
    part = reads[rows]
    return retrieval.read_matrix(part["reader"], part["item"], num_readers, len(items))


known_reads, wanted = matrix(before & ~is_new_reader), reads[after].groupby("reader")["item"].agg(set)
history = matrix(before)[wanted.index.to_numpy()]  # a row for each reader who reads something in the 30 days

# %% [markdown]
# Four methods. *Popularity* gives everybody the same items. *Item-item* calls two items similar if the same people read
# them. Two *text* methods compare vectors: with the mean of the history, or with its three nearest texts. First the
# item-item similarity by hand, for two items with 3 and 4 readers, of whom 2 have read both:

# %%
print(f"without shrinkage {2 / math.sqrt(3 * 4):.2f}, with shrinkage 10: {2 / (math.sqrt(3 * 4) + 10):.2f}")
recommenders = {
    "popularity": retrieval.popularity_scores(known_reads, len(wanted)),
    "item-item": retrieval.item_item_scores(known_reads, history, shrinkage=10.0),
    "text, mean of the history": retrieval.text_scores(history, item_vectors),
    "text, three nearest": retrieval.text_scores(history, item_vectors, nearest=3),
}

# %% [markdown]
# Shrinkage keeps two items that have one and the same reader from being perfectly similar. The mean of a history mixes
# the interests of a reader who has several; the three nearest texts do not.
#
# Candidates are the items of the last 60 and of the next 30 days, without what the reader has read:

# %%
recent = ((published >= day - pd.Timedelta(days=60)) & (published < end)).to_numpy()
is_cold = (published >= day).to_numpy()


def recommend(candidates):
    rows = [reader for reader, x in enumerate(wanted) if any(candidates[i] for i in x)]
    relevant = [{i for i in wanted.iloc[reader] if candidates[i]} for reader in rows]
    tables = {name: retrieval.without_read(values, history)[rows] for name, values in recommenders.items()}
    tables = {name: np.where(candidates, table, -np.inf) for name, table in tables.items()}
    joined = [retrieval.rank_items(tables[name], above=0) for name in ("item-item", "text, three nearest")]
    tables["item-item and text"] = retrieval.fuse_rankings(*joined, num_items=len(items))
    ranked = {x: retrieval.rank_items(table, 10, above=0, relevant_last=relevant) for x, table in tables.items()}
    return {name: retrieval.score_rankings(x, relevant, k=10) for name, x in ranked.items()}, wanted.index[rows]


# %%
everything, who = recommend(recent)
table = pd.DataFrame({name: 100 * rows.mean() for name, rows in everything.items()}).T
ends = [retrieval.mean_interval(100 * rows["nDCG@10"], seed=seed)[1:] for rows in everything.values()]
table.round(1).assign(**{"nDCG, 95 % interval": [f"{low:.1f} to {high:.1f}" for low, high in ends]})

# %% [markdown]
# Here recall@10 and hit@10 differ, because most readers read several items. Look at the distance to popularity: a
# recommender that does not beat it is not worth its trouble. Now nDCG@10 in percent for known and new readers, and with
# only warm or only cold candidates:

# %%
group = np.where(who % 5 == 0, "new readers", "known readers")
columns = {name: (100 * rows["nDCG@10"]).groupby(group).mean() for name, rows in everything.items()}
parts = pd.DataFrame(columns).T
for name, candidates in {"warm items": recent & ~is_cold, "cold items": recent & is_cold}.items():
    parts[name] = {key: 100 * rows["nDCG@10"].mean() for key, rows in recommend(candidates)[0].items()}
parts.round(1)

# %% [markdown]
# Item-item can serve new readers, because it needs only their history. Popularity and item-item have 0 for cold items:
# an item without readers is never found by counting readers. This is where texts help most. For warm items, compare
# item-item, text and both. If both together are best, each knows something that the other does not. This simulation was
# built from both; real readers have other shares. The methods, and the way to split and count, carry over.
#
# **Exercise.** Before you choose a method, find out how much of the reading is cold. You get the items that were read
# before and the items that were read after, with repetitions. Return the share of the later *reads* whose item nobody
# had read before.


# %%
def cold_share(items_before, items_after):
    return None  # your code


check("15-cold", cold_share)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def cold_share(items_before, items_after):
#     known = set(items_before)
#     return sum(item not in known for item in items_after) / len(items_after)
# ```
# </details>

# %% [markdown]
# ## Alerts: the news about a company has turned
#
# *"Skerrywing cancelled all 212 of its flights on Monday after the system that rosters its crews broke down overnight,
# and could not say when it would be restored."* One such sentence is a bad day. Is it also the beginning of a bad
# month? An *alert* should say so soon, and rarely be wrong. The included corpus has sentences from the business news of
# 18 months, about invented companies. The label says whether a sentence is good or bad for those who hold shares. Some
# companies have bad or good *phases*, of which the alerts know nothing. The first and the last two sentences:

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from nbhelpers import alerts
from nbhelpers.course.monitor.stream import load_stream

sentences, phases = load_stream(stream, num_sentences)
print(f"{len(sentences)} sentences, {sentences['company'].nunique()} companies, {len(phases)} phases")
sentences[["date", "company", "topic", "label", "text"]].iloc[[0, 1, -2, -1]]

# %% [markdown]
# An alert works on what a classifier says. Here it is a logistic regression on the vectors of the encoder. For the
# sentences of train, the labels are predicted by models that were trained on the other four fifths. On its own training
# sentences, a classifier makes too few errors to show what will happen later.

# %%
vectors_of_news = encode(sentences["text"].tolist(), encoder=plain)
is_train = (sentences["split"] == "train").to_numpy()
to_label = LogisticRegression(C=10, max_iter=2000)
predicted = np.empty(len(sentences), dtype=object)
predicted[is_train] = cross_val_predict(to_label, vectors_of_news[is_train], sentences["label"][is_train], cv=5)
to_label.fit(vectors_of_news[is_train], sentences["label"][is_train])
predicted[~is_train] = to_label.predict(vectors_of_news[~is_train])
sentences["predicted"] = predicted
later = sentences[~is_train]
recall, false_positives = alerts.error_rates(later["label"], later["predicted"], watched)
print(f"accuracy after train: {100 * (later['label'] == later['predicted']).mean():.1f} %")
print(f"{watched}: {100 * recall:.0f} % are found, and {100 * false_positives:.0f} % of the others are taken for it")

# %% [markdown]
# You will see what its errors cost. (`nbhelpers train data/finance` fine-tunes the encoder, which is usually better.)
#
# ### Counts and their intervals
#
# How large is the share of a label for each company and topic? Two sentences out of two are 100 %, and say next to
# nothing. The textbook interval, share ± 1.96 standard errors, would be 100 to 100 %. *Wilson's interval* is 34 to
# 100 %: it contains each share with which two out of two are no great surprise. Here are the groups with the highest
# share in one month:

# %%
as_predicted = sentences.assign(label=sentences["predicted"])
by_month = alerts.count_labels(as_predicted, watched, by=["company", "topic"], period="M")
by_month.sort_values(["share", "count"], ascending=False).head(5).round({"share": 2, "low": 2, "high": 2})

# %% [markdown]
# Read "low" before "share". Where the total is small, the interval is so wide that the share says little.
#
# ### One story counts once
#
# A company's notice, a newspaper and an analyst tell the same story, in different words. Three sentences about one
# event are one sign, not three. `find_stories` joins sentences of a company that are alike and at most three days after
# the first one. What "alike" should mean can be measured, because the included corpus has a column with the stories.
# Precision is the share of the joined pairs of sentences that tell one story. Recall is the share of the pairs of one
# story (their number is "pairs") that were joined:

# %%
by_company = sentences["company"].tolist()
by_topic = list(zip(sentences["company"], sentences["topic"], strict=True))
words, runs = ([alerts.shingles(text, size) for text in sentences["text"]] for size in (1, 3))
ways = {
    "same company": (by_company, None, 0.0),
    "... and runs of 3 words": (by_company, runs, 0.1),
    "... and vectors": (by_company, vectors_of_news, 0.25),
    "same company and topic": (by_topic, None, 0.0),
    "... and words": (by_topic, words, 0.04),
}
found = {name: alerts.find_stories(sentences["date"], *way[:2], min_similarity=way[2]) for name, way in ways.items()}
gold_stories = sentences.get("story", pd.Series(range(len(sentences))))
table = {name: alerts.pair_scores(stories, gold_stories) for name, stories in found.items()}
pd.DataFrame(table).T.round(3)

# %% [markdown]
# Runs of three words (*shingles*) are what many tutorials use to find duplicates. They find copies. Look at their
# recall: a story that is told in other words shares hardly any run. (If no pair is joined, precision counts as 1.) Then
# compare what the topic adds with what the likeness of texts adds. (The smallest similarities, 0.25 and 0.04, were
# chosen on train. In a stream with hundreds of sentences about one company and topic each day, only likeness helps.)
#
# ### From signs to an alarm: CUSUM
#
# How many bad stories are too many? A *CUSUM* ([Page 1954](https://doi.org/10.1093/biomet/41.1-2.100)), a cumulative
# sum, adds up the signs. A bad story adds something, and any other takes something away. The sum never falls below 0.
# When it reaches a limit, there is an alarm, and it starts at 0 again. In five lines, beside the helper, which also
# says at which position (from 0) there was an alarm, and where the sum started to rise:

# %%
rule = alerts.Rule(up=12, down=8, limit=45)
bad, sums = [0, 1, 0, 0, 1, 1, 0, 1, 1, 1], [0]
for is_bad in bad:
    sums.append(max(0, sums[-1] + (rule.up if is_bad else -rule.down)))
print(sums[1:], rule.path(bad))

# %% [markdown]
# The stories count, not the days: a company of which nothing is written stays where it is. So the same rule fits a
# company with five stories a month and one with five an hour. How often does it raise a false alarm? If stories are
# independent, that follows from the rule and the usual share, without any data: the sum has few possible values, and
# the mean time from each of them to the limit can be computed. Check it with 2,000 simulated streams:

# %%
flags = alerts.draw_flags(np.random.default_rng(seed), [0.2] * 4000, num_streams=2000)
waits = alerts.first_alarms(rule, flags)
print(f"stories to a false alarm at 20 %: {alerts.run_length(rule, 0.2):.0f}; simulated {np.nanmean(waits):.0f}")
shares = {f"{100 * share:.0f} %": alerts.run_length(rule, share) for share in (0.2, 0.3, 0.4, 0.6, 0.9)}
pd.DataFrame({"stories to an alarm": shares}).T.round(1)

# %% [markdown]
# If 20 % are usual, the first column is the price: the stories from one false alarm to the next. The others are the
# *delay*. A higher limit makes false alarms rarer and the delay longer. `make_rule` takes the usual share, the share
# that should be found, and the price. (The best weights of a sign are logarithms of ratios, as in Naive Bayes.) Take
# the usual share from predictions, because there it includes the errors of the classifier. And take the median over
# companies: a few companies in a bad phase should not count as usual. A story has the most frequent label of its
# sentences:

# %%
sentences["number"] = found["... and words"]
order = [watched, *sorted(set(sentences["label"]) - {watched})]
first = {"company": ("company", "first"), "date": ("date", "min"), "split": ("split", "first")}
kinds = {name: (name, partial(alerts.story_label, order=order)) for name in ("label", "predicted")}
stories = sentences.groupby("number").agg(**first, **kinds).sort_values(["date", "number"], ignore_index=True)
past = stories[stories["split"] == "train"]
usual = {name: (past[name] == watched).groupby(past["company"]).mean().median() for name in kinds}
usual = {name: min(max(share, 0.05), 0.5) for name, share in usual.items()}  # a small stream may have none
print({name: f"{100 * share:.1f} % of the stories in train" for name, share in usual.items()})

# %%
raised = {"label": raised_share, "predicted": alerts.predicted_share(raised_share, recall, false_positives)}
raised = {name: max(share, usual[name] + 0.1) for name, share in raised.items()}  # else there is nothing to find
rules = {name: alerts.make_rule(usual[name], raised[name], stories_per_false_alarm) for name in usual}
num_days = (pd.to_datetime(stories["date"].max()) - pd.to_datetime(stories["date"].min())).days
a_month = 30.4 * len(stories) / num_days
for name, chosen in rules.items():
    false_alarms = a_month / alerts.run_length(chosen, usual[name])
    print(f"{name}: {chosen}; {false_alarms:.2f} false alarms a month in {a_month:.0f} stories of all companies")

# %% [markdown]
# False alarms can be rarer than the price, because the sum moves in steps. With errors, the usual and the raised share
# are closer together, so the rule for predictions needs more bad stories before an alarm. Here is the sum of one
# company with the right labels and with the predicted ones, in percent of the limit of each rule. At 100 there is an
# alarm, and the line starts at 0 again. Compare when the two lines get there:

# %%
company = phases["company"].iloc[0] if len(phases) else by_company[0]
its = stories[stories["company"] == company]
sums = {name: 100 * np.array(x.path(its[name] == watched)[0]) / x.limit for name, x in rules.items()}
frame = pd.DataFrame(sums, pd.RangeIndex(1, len(its) + 1, name="story"))
plots.run_curves(frame, "sum (% of the limit)", over=f"the stories of {company}")

# %% [markdown]
# ### What it finds, and what errors cost
#
# Now all companies. Here the delay is the number of days from the first day of a phase to the alarm. An alarm outside
# the phases counts as false (or it has found a phase that nobody wrote down). The table compares the right labels with
# the predicted ones:


# %%
def score_alarms(name, chosen, events):
    bad_phases, delays, false_alarms = phases[phases["kind"] == watched], {}, 0
    for its in (part for _, part in events.groupby("company")):
        for alarm in chosen.path(its[name] == watched)[1]:
            day = its["date"].iloc[alarm.position]
            inside = bad_phases[(bad_phases["company"] == its["company"].iloc[0]) & (bad_phases["start"] <= day)]
            inside = inside[inside["end"] >= day]
            for row, start in inside["start"].items():
                delays.setdefault(row, (pd.to_datetime(day) - pd.to_datetime(start)).days)
            false_alarms += len(inside) == 0
    median = float(np.median(list(delays.values()))) if delays else math.nan
    return {"found": f"{len(delays)} of {len(bad_phases)}", "median days": median, "false alarms": false_alarms}


pd.DataFrame({name: score_alarms(name, chosen, stories) for name, chosen in rules.items()}).T

# %% [markdown]
# A few phases say little. But the delay can be computed: the error rates turn the true share into the share of
# predictions, and `run_length` that into a delay. The picture begins with a good classifier. Set the two
# rates to those of the classifier above, and look at 80 %. How good must it be to find such a phase within ten stories?


# %%
def delays(recall=0.85, false_positive_rate=0.05, price=400):
    shares, columns = np.arange(0.4, 1.01, 0.05), {}
    for name, rates in {"no errors": (1.0, 0.0), "these errors": (recall, false_positive_rate)}.items():
        before, after = (alerts.predicted_share(share, *rates) for share in (usual["label"], raised_share))
        chosen = alerts.make_rule(before, after, price)
        columns[name] = [alerts.run_length(chosen, alerts.predicted_share(share, *rates)) for share in shares]
    frame = pd.DataFrame(columns, pd.Index(100 * shares, name=f"{watched} stories after the change (%)"))
    return plots.run_curves(frame, "stories to the alarm", over="the share after a change")


explore(delays, recall=(0.3, 1.0, 0.05), false_positive_rate=(0.0, 0.3, 0.01), price=(50, 1000, 50))

# %% [markdown]
# The delay grows fast as the two rates come closer to each other, and no rule can make up for it. If a phase has fewer
# stories than the delay, it is over before there is enough evidence. So a better classifier is often worth more than a
# better rule.
#
# Reality can differ from the computation in two more ways. Bad stories come in clusters, because one brings the next.
# And the usual share may be wrong, such as one that was counted on right labels for a rule that gets predictions:

# %%
chosen, before, after = rules["predicted"], usual["predicted"], raised["predicted"]
table = {"as planned": (chosen, 0.0), "clusters: correlation .1": (chosen, 0.1), "correlation .3": (chosen, 0.3)}
table["a rule made for the right labels"] = (rules["label"], 0.0)
table["a usual share that is 5 points too low"] = (
    alerts.make_rule(max(before - 0.05, 0.01), after, stories_per_false_alarm),
    0.0,
)
columns = {"stories to a false alarm": before, "delay": after}
pd.DataFrame(
    {name: {key: alerts.run_length(x, share, c) for key, share in columns.items()} for name, (x, c) in table.items()}
).T.round(0)

# %% [markdown]
# The first line is what was planned. With clusters, the same rule gives more false alarms: a story resembles the one
# before it, and the computation did not know. Compare the first line with the last two, whose usual share is wrong. So
# measure the run length on your own quiet months before you promise it to anybody.
#
# ### State: late, doubled, restarted
#
# A monitor runs for years. Its program is restarted, its source sends a sentence twice, or a week late. `alerts.Watch`
# keeps all sentences in an SQLite file. A sentence with a known id changes nothing. A late one is counted on its day,
# and the sums are computed again. An alert that was sent stays sent. The cell adds three parts, each after a restart;
# the last part must bring nothing new:

# %%
state = Path(tempfile.mkdtemp(), "monitor.db")
columns = {"date": "date", "company": "company", "topic": "topic", "predicted": "label", "text": "text"}
rows = sentences[[*columns]].rename(columns=columns).to_dict("records")
late, on_time = rows[10::20], [row for i, row in enumerate(rows) if i % 20 != 10]
for name, part in {"on time": on_time, "late": late, "all of it again": rows}.items():
    watch = alerts.Watch(state, {watched: rules["predicted"]})  # as after a restart: all it knows is in the file
    added = watch.add(part)
    print(f"{name}: {added.new} new, {added.doubled} doubled, {len(added.alerts)} new alerts")

# %% [markdown]
# An alert goes to a *webhook*: the program sends JSON to a web address. The receiver may be down. So each alert waits
# in the same file until the receiver has said yes. Failed attempts are repeated after 1, 2, 4, 8 seconds and so on, up
# to an hour (*exponential back-off*). If the alert has arrived and only the reply got lost, it is sent again. So each
# alert has an *idempotency key*, and the receiver ignores a key that it knows. Here is a receiver that is down for five
# seconds. The last line is the text of the newest alert:

# %%
clock = [0.0]


def send(url, key, message):
    return alerts.Outcome("waiting", "answered 503") if clock[0] < 5 else alerts.Outcome("sent")


for _ in range(8):  # chance=1: no random part in the waiting times
    done = alerts.deliver(watch.store, "https://example.org/hook", now=lambda: clock[0], send=send, chance=lambda: 1.0)
    waiting = sum(alert.status == "waiting" for alert in watch.store.alerts())
    print(f"second {clock[0]:.0f}: {len(done)} attempts, {waiting} alerts wait")
    clock[0] += 1
print(watch.store.alerts()[0].message["text"] if watch.store.alerts() else "There was no alert.")

# %% [markdown]
# The same as a command, with a page that renews itself:
#
# ```
# nbhelpers train data/finance -o runs/finance
# nbhelpers monitor runs/finance --input data/finance/test.csv --history data/finance/dev.csv --port 8001
# ```
#
# With `--input -` it reads lines as another program writes them, and `--webhook https://...` sends the alerts.

# %% [markdown]
# ## What goes wrong
#
# ### A query in its own index
#
# "Find similar news" is often tested with items of the index itself. Then each is its own nearest neighbor. How often
# does the nearest item have the same desk?

# %%
similar = item_vectors @ item_vectors.T
desk = items["label"].to_numpy()
with_itself = np.mean(desk[similar.argmax(axis=1)] == desk)
np.fill_diagonal(similar, -np.inf)
without = np.mean(desk[similar.argmax(axis=1)] == desk)
print(f"the query in the index: {100 * with_itself:.1f} %; without it: {100 * without:.1f} %")

# %% [markdown]
# The first number is near 100 for any encoder, even an untrained one. Leave the query out, and its exact copies too.
#
# ### Copies of an answer as negatives
#
# How many questions of a batch have a copy of their page in it? How much larger is the loss if copies are negatives?
# Here is the encoder as it was, on batches of different sizes; large ones are recommended for this loss:

# %%
rows = {}
for size in sorted({batch_size, 4 * batch_size, len(labels)}):
    picked = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))[:size]
    numbers = torch.tensor(labels)[picked]
    batch = (torch.tensor(train_vectors)[picked], torch.tensor(page_vectors)[numbers], numbers)
    copies = (numbers[:, None] == numbers[None, :]).sum(dim=1) > 1
    losses = [retrieval.multiple_negatives_loss(*batch, mask_duplicates=x).item() for x in (True, False)]
    rows[len(picked)] = {"questions with a copy (%)": 100 * copies.float().mean().item()}
    rows[len(picked)] |= {"loss, left out": losses[0], "loss, as negatives": losses[1]}
pd.DataFrame(rows).T.rename_axis("batch size").round(3)

# %% [markdown]
# The difference of the two losses comes from right answers that training would push away. It grows with the batch and
# with the number of questions per page, and no training can remove it: a question cannot be nearer to a page than to
# its copy.
#
# ### A threshold moved between models
#
# A cosine of 0.6 does not mean the same in two encoders, nor in one encoder before and after its training. The table
# has a trained encoder on test, with the threshold of the encoder as it was and with its own:

# %%
trained = "in-batch negatives"
thresholds = {"the encoder as it was": retrieval.choose_threshold(*hits["encoder", "dev"])}
thresholds["the trained encoder"] = retrieval.choose_threshold(*hits[trained, "dev"])
rows = {}
for name, value in thresholds.items():
    rates = retrieval.answer_rates(*hits[trained, "test"], question_kinds["test"], value)
    rows[name] = {"threshold": value, "right answers (%)": 100 * rates.loc["answered", "right answer"]}
    rows[name] |= (100 * rates["wrong answer"]).add_prefix("wrong (%), ").to_dict()
pd.DataFrame(rows).T.round(2).rename_axis("trained encoder, with the threshold of")

# %% [markdown]
# A threshold that is too high refuses right answers, and one that is too low lets wrong ones through. Some encoders are
# extreme: with E5, even texts that have nothing in common have cosines around 0.75. Store the threshold with the model,
# and choose it again after each training.
#
# ### Inner product without normalizing
#
# An index for inner products does not divide by the lengths. If the vectors were not normalized, long vectors come
# first too often, whatever the question. If length does not matter, about a tenth of the first pages are of the longest
# tenth:

# %%
raw = encode(documents, encoder=plain, normalize=False)
lengths = np.linalg.norm(raw, axis=1)
raw_scores = encode(texts["test"], encoder=plain, normalize=False) @ raw.T

# %%
longest = set(np.argsort(-lengths)[: len(lengths) // 10].tolist())
rows = {}
for name, values in {"normalized": scores["encoder"], "not normalized": raw_scores}.items():
    is_long = [i in longest for i in values.argmax(axis=1)]
    rows[name] = {"first page is of the longest tenth (%)": 100 * np.mean(is_long)}
    rows[name]["MRR@10 (%)"] = 100 * score(values)["MRR@10"].mean()
print(f"length of the pages' vectors: {lengths.min():.2f} to {lengths.max():.2f}")
pd.DataFrame(rows).T.round(1)

# %% [markdown]
# The harm depends on how much the lengths differ, and so on the encoder. Where they are nearly equal, nobody notices
# until the encoder is replaced. `retrieval.Index` always normalizes.
#
# ### Paraphrases in train
#
# The test questions are new, but most of their pages have other questions in train. A search that only looks up the
# most similar *training question* and returns its page needs no understanding of pages at all:

# %%
has_page = (questions["test"]["number"] >= 0).to_numpy()
similar = vectors["encoder"]["test"][has_page] @ train_vectors.T  # [test questions, training questions]
lookup = np.zeros((len(similar), len(documents)))
for page in set(labels):
    lookup[:, page] = similar[:, np.array(labels) == page].max(axis=1) + 1  # above 0
by_page({"nearest training question": score(lookup, above=0), **scored})

# %% [markdown]
# On new pages it finds nothing. So say beside each score whether the pages of the test questions had questions in
# train. A score on known pages fits a help desk with a fixed list of pages, and can be too good for one that grows.

# %% [markdown]
# ### An alert per company and day
#
# The usual recipe is a chart of the share for each company and day (*p-chart*), with a limit at 3 standard deviations
# (*3 sigma*). It assumes many sentences a day. Say that the usual share is 20 %. For several numbers of sentences, the
# table has the smallest count that passes the limit, and the exact chance of a false alarm on one chart and on at least
# one of 30 charts:

# %%
rows = {}
for total in (1, 2, 3, 5, 10, 50, 200):
    above = alerts.false_alarm_chance(total, 0.2)[1]
    passes = alerts.p_chart(range(total + 1), [total] * (total + 1), 0.2).query("share > high")
    rows[total] = {"needed": f"{passes.index[0]} of {total}" if len(passes) else "no count passes"}
    any_of_30 = alerts.chance_of_any(above, 30)
    rows[total] |= {"one chart": f"{100 * above:.2f} %", "one of 30 charts": f"{100 * any_of_30:.1f} %"}
a_day = len(stories) / len(set(by_company)) / len(pd.date_range(stories["date"].min(), stories["date"].max()))
print(f"here a company has {a_day:.2f} stories a day")
pd.DataFrame(rows).T.rename_axis("a day")

# %% [markdown]
# With one or two sentences a day the limit is above 100 %: the chart can never raise an alarm. In the other lines, the
# chance of a false alarm is higher than the 0.13 % that the normal distribution promises above the limit. And with 30
# charts it is up to 30 times as high. So state the price of a rule *over all companies*.
#
# ### Limits from moving ranges
#
# Many tools estimate the limits from the differences of neighboring days. If one day resembles the next, these
# differences are small, and so the limits are too narrow. Here is noise without any change in it, with a correlation of
# 0 and of 0.6 between neighbors:

# %%
rng_of_days, outside = np.random.default_rng(seed), {}
for correlation in (0.0, 0.6):
    days = rng_of_days.normal(size=(500, 400))  # 500 series of 400 days
    for day in range(1, days.shape[1]):
        days[:, day] = correlation * days[:, day - 1] + math.sqrt(1 - correlation**2) * days[:, day]
    limits = np.array([alerts.moving_range_limits(series) for series in days])
    outside[f"correlation {correlation}"] = 100 * np.mean((days < limits[:, :1]) | (days > limits[:, 2:]))
pd.DataFrame({"days outside the limits (%)": outside}).T.round(2)

# %% [markdown]
# At 3 sigma it should be 0.27 % (a little more, because the limits are estimated). Look at your series before you trust
# a limit: today's news often resembles that of yesterday.
#
# ### Methods that look back
#
# *Change-point* libraries such as ruptures find the best places to cut a series that is complete. They are right for a
# report about last year. As an alert they are run again each day, on a series that grows. Then each run is another
# test, a cut can come and go, and nobody knows the number of false alarms. A CUSUM is made for a stream.
#
# ### Sentences in place of stories
#
# What if each sentence counts, and a story has up to three? Its sentences often have the same label, so one bad event
# can bring the sum near the limit, or over it. Here are simulated streams at the usual share, in which each story is
# told in one, two or three sentences, and all its sentences have one label:

# %%
story_flags = alerts.draw_flags(np.random.default_rng(seed), [usual["predicted"]] * 3000, num_streams=1000)
rows = {}
for times in (1, 2, 3):
    waits = alerts.first_alarms(rules["predicted"], np.repeat(story_flags, times, axis=1))
    rows[f"sentences per story: {times}"] = {"stories to a false alarm": np.nanmean(np.ceil(waits / times))}
told = sentences.groupby("number").size()
print(f"In this stream, {100 * (told > 1).mean():.0f} % of the stories are told more than once.")
pd.DataFrame(rows).T.round(0)

# %% [markdown]
# The rule is the same in each line. Only what counts as one sign differs, and false alarms come much sooner.

# %% [markdown]
# ## Exercises
#
# A wrong answer gets a hint, and each further try one more. The other exercises are above: MRR, copies in a batch,
# wrong answers at a threshold, cold reads.
#
# **1.** Fuse rankings by hand. You get two rankings of page numbers, best first, and return the sums of
# 1 / (60 + rank) for the pages 0 to `num_pages` - 1. Ranks start at 1, and a page that is missing in a ranking gets
# nothing from it.


# %%
def fuse(first, second, num_pages):
    return None  # your code


check("15-fuse", fuse)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def fuse(first, second, num_pages):
#     sums = [0.0] * num_pages
#     for ranking in (first, second):
#         for rank, page in enumerate(ranking, start=1):
#             sums[page] += 1 / (60 + rank)
#     return sums
# ```
# </details>
#
# **2.** Write the alert rule by hand. You get a list of 1 (a bad story) and 0 (any other), `up`, `down` and `limit`.
# Return the places of the alarms, counted from 0. After an alarm, the sum is 0.


# %%
def alarms_of(flags, up, down, limit):
    return None  # your code


check("15-cusum", alarms_of)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def alarms_of(flags, up, down, limit):
#     total, places = 0, []
#     for place, flag in enumerate(flags):
#         total = max(0, total + (up if flag else -down))
#         if total >= limit:
#             places.append(place)
#             total = 0
#     return places
# ```
# </details>
#
# **3.** How many stories do these sentences of one company tell? You get the days of the sentences as whole numbers, in
# any order. A sentence belongs to a story if it comes at most three days after the first sentence of the story.


# %%
def count_stories(days):
    return None  # your code


check("15-stories", count_stories)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def count_stories(days):
#     count, first = 0, None
#     for day in sorted(days):
#         if first is None or day - first > 3:
#             count, first = count + 1, day
#     return count
# ```
# </details>
#
# ## Quiz
#
# Four questions on this lesson:

# %%
quiz("15-normalize")
quiz("15-near")
quiz("15-cold")
quiz("15-price")

# %% [markdown]
# ## Recap
#
# - BM25 is a strong start where questions use the words of the texts. An encoder finds what is said in other words.
# - Compare methods on the same questions, in pairs. Say what k is, and how ties and grades count.
# - In-batch negatives need no further texts, but leave copies of a page out. Read hard negatives before you use them.
# - A search always finds something. Choose a threshold on dev, for each model again, and test it on near questions.
# - Exact search is often fast enough for a hundred thousand texts. Measure what an approximate index misses.
# - Counting readers cannot recommend what nobody has read. Comparing texts can.
# - An alert rule has a price, its false alarms, and a delay. Both can be computed before the first alert.
#
# Where to go next: [lesson 7](07_deployment.ipynb) serves a model, and the encoder of a search can be served in the
# same way. The last cell has the number that `nbhelpers run` shows for this lesson: MRR@10 on test of the encoder that
# dev has chosen, in percent.

# %%
headline("MRR@10 (%)", 100 * scored[best_name]["MRR@10"].mean())
