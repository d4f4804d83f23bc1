"""Batches for short texts: tokenize once, group texts of similar length, and pad each batch only to its longest text.

MELD's turns have about 12 tokens. Padding each of them to 128 would spend nine tenths of the work on padding. How to
use it: copy this folder into your project (it needs torch, and a transformers tokenizer), tokenize, and iterate:

    examples = tokenize(["I love it.", "No."], tokenizer, labels=[1, 0])
    dataloader = make_dataloader(examples, tokenizer.pad_token_id, max_tokens=4096, batch_size=32)
    for epoch in range(3):
        dataloader.batch_sampler.set_epoch(epoch)
        for batch in dataloader:
            loss = model(**batch).loss
"""

from .collator import NO_LABEL, Collator, round_up
from .loader import make_dataloader
from .sampler import TokenBudgetSampler, padding_share
from .tokenizing import tokenize

__all__ = ["NO_LABEL", "Collator", "TokenBudgetSampler", "make_dataloader", "padding_share", "round_up", "tokenize"]
