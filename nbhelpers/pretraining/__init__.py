"""Pretraining: byte-level BPE, masked language modeling as in RoBERTa, and continued pretraining on your own texts.

How to use it: copy this folder into your project (it needs torch, transformers, tokenizers and pandas). A small RoBERTa
from nothing, on documents that are lists of sentences:

    documents = [split_sentences(text) for text in train_texts]
    tokenizer = train_tokenizer(train_texts, vocab_size=4000)
    examples = pack_sentences(documents, tokenizer, max_length=128)
    held_out = fixed_batches(pack_sentences(dev_documents, tokenizer, max_length=128), tokenizer)

    model = new_roberta(tokenizer, hidden_size=192, num_layers=4)
    history = train_masked_lm(model, tokenizer, examples, num_steps=1000, held_out=held_out)
    fill_gaps(model, tokenizer, "I love ___ and you.")

Or train a pretrained encoder further on the unlabeled texts of a domain, and then fine-tune it as any other folder:

    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForMaskedLM.from_pretrained(name)
    continue_pretraining(model, tokenizer, examples, num_head_steps=100, num_steps=300)
    model.save_pretrained("adapted")
    tokenizer.save_pretrained("adapted")

With a training loop of your own, use `masked_lm_loss(model, batch)` as the objective and `MaskingCollator(tokenizer)`
as the DataLoader's `collate_fn`: it draws fresh masks for each batch. For evaluation use `fixed_batches`, because with
other masks each time the loss of the same model changes.

A short run on a text of four words:

>>> import torch
>>> _ = torch.manual_seed(0)
>>> texts = ["red roses grow here"] * 8
>>> tokenizer = train_tokenizer(texts, vocab_size=300)
>>> examples = pack_sentences([[text] for text in texts], tokenizer, max_length=16, cross_documents=False)
>>> model = new_roberta(tokenizer, hidden_size=32, num_layers=1, max_length=16, dropout=0.0)
>>> history = train_masked_lm(model, tokenizer, examples, num_steps=100, lr=5e-3, batch_size=8, probability=0.25)
>>> next(iter(fill_gaps(model, tokenizer, "red ___ grow here")[0]))
' roses'

The files: `byte_pairs` has the tokenizer and its merges, `packing` the inputs, `masking` the masks, `modeling` the
model, its loss and the gaps, `training` the loops.
"""

from .byte_pairs import (
    SPECIAL_TOKENS,
    apply_merges,
    count_pairs,
    fertility,
    learn_merges,
    merge_pair,
    merges_of,
    split_words,
    train_tokenizer,
)
from .masking import MaskingCollator, fixed_batches, mask_tokens, word_start_ids
from .modeling import fill_gaps, held_out_loss, logits_at, masked_lm_loss, new_roberta, unigram_loss
from .packing import pack_sentences, split_sentences
from .training import continue_pretraining, train_masked_lm

__all__ = [
    "SPECIAL_TOKENS",
    "MaskingCollator",
    "apply_merges",
    "continue_pretraining",
    "count_pairs",
    "fertility",
    "fill_gaps",
    "fixed_batches",
    "held_out_loss",
    "learn_merges",
    "logits_at",
    "mask_tokens",
    "masked_lm_loss",
    "merge_pair",
    "merges_of",
    "new_roberta",
    "pack_sentences",
    "split_sentences",
    "split_words",
    "train_masked_lm",
    "train_tokenizer",
    "unigram_loss",
    "word_start_ids",
]
