"""Retrieval: find the text that answers a question, and the items that a reader may like.

How to use it: copy this folder into your project (it needs numpy, pandas, scipy, torch and, for `encode`, a tokenizer
and an encoder of transformers; `bm25_scores` needs bm25s, and approximate search faiss-cpu). Search a list of texts:

    from functools import partial

    index = Index(partial(encode, tokenizer=tokenizer, encoder=encoder))
    index.add(ids, texts)
    [hits] = index.search(["Where can I renew my passport?"], k=3)
    index.save("my_index")

Evaluate a method on questions whose answers are known. A method is a matrix of scores [questions, documents]:

>>> scores = [[0.2, 0.9, 0.1], [0.8, 0.3, 0.4]]
>>> relevant = [{1}, {2}]  # document 1 answers question 0, and document 2 question 1
>>> rankings = rank_items(scores, k=2, relevant_last=relevant)
>>> score_rankings(rankings, relevant, k=2).mean().round(2).to_dict()
{'MRR@2': 0.75, 'nDCG@2': 0.82, 'recall@2': 1.0, 'hit@2': 1.0}

Compare two methods on the same questions with `paired_difference`, and decide with `choose_threshold` when it is
better to give no answer. Fine-tune an encoder on questions with their documents (any training loop that takes an
objective will do):

    documents = [tokenizer(text)["input_ids"] for text in texts]
    examples = [{"input_ids": tokenizer(question)["input_ids"], "labels": number} for question, number in pairs]
    dataloader = DataLoader(examples, batch_size=32, shuffle=True, collate_fn=PairCollator(documents, pad_token_id))
    loss = contrastive_objective(encoder, batch)

The files: `encoding` makes vectors, `words` has BM25, `ranking` the rankings and their scores, `intervals` how certain
these are, `thresholds` when to give no answer, `contrastive` the loss and the hard negatives, `searching` the search
for near vectors, `index` the index, and `recommending` the methods that learn from who has read what.
"""

from .contrastive import PairCollator, contrastive_objective, hard_negatives, multiple_negatives_loss
from .encoding import encode, pool
from .index import Hit, Index, unit_vectors
from .intervals import mean_interval, paired_difference
from .ranking import fuse_rankings, rank_items, score_rankings
from .recommending import item_item_scores, popularity_scores, read_matrix, text_scores, without_read
from .searching import exact_search, index_recall, make_faiss_index
from .thresholds import answer_rates, choose_threshold
from .words import bm25_scores

__all__ = [
    "Hit",
    "Index",
    "PairCollator",
    "answer_rates",
    "bm25_scores",
    "choose_threshold",
    "contrastive_objective",
    "encode",
    "exact_search",
    "fuse_rankings",
    "hard_negatives",
    "index_recall",
    "item_item_scores",
    "make_faiss_index",
    "mean_interval",
    "multiple_negatives_loss",
    "paired_difference",
    "pool",
    "popularity_scores",
    "rank_items",
    "read_matrix",
    "score_rankings",
    "text_scores",
    "unit_vectors",
    "without_read",
]
