"""Make a tokenizer normalize texts itself, so that a trained model treats every text as its training data were treated.

`load` normalizes the texts of a corpus. A text that later comes to a service was not loaded by it: with other quotes
or spaces, it can get another prediction. The rules become a part of the tokenizer here, which is saved with the model.
"""

from __future__ import annotations

import copy
import functools
import json
import unicodedata
from collections.abc import Callable
from typing import Any

from .normalizing import CONTROL, CP1252, INVISIBLE, JOINABLE, LINE_BREAKS, QUOTES, SPACES, VIRAMA

LAST_MARK = 0x20000  # combining marks are below this code point, and looking further would take seconds
MAX_MARKS = 4  # combining marks before a joiner that its rule looks past; words have one or two


def normalizing_tokenizer(tokenizer: Any) -> Any:
    """Return a copy of a tokenizer that applies the rules of `normalize` to each text first.

    `save_pretrained` writes the rules into tokenizer.json, and every program that reads this file applies them. For
    texts that are normalized already, such as those of `load`, the tokens stay the same. (An exception are special
    tokens inside a text, such as "<mask>": spaces next to them are removed, which changes the next token of tokenizers
    that encode spaces, such as RoBERTa's.)

    Args:
        tokenizer: a tokenizer of transformers, for instance `encoders.load(...)[0]`.

    Returns:
        A transformers.PreTrainedTokenizerFast, which is `tokenizer` itself if it has the rules already.

    Raises:
        ValueError: the tokenizer is not one of the library tokenizers, which transformers calls fast.
    """
    from tokenizers import normalizers
    from transformers import PreTrainedTokenizerFast

    if not getattr(tokenizer, "is_fast", False):
        name = type(tokenizer).__name__
        raise ValueError(f"{name} has no tokenizer.json that rules can be written to; choose an encoder that has one")
    own = tokenizer.backend_tokenizer.normalizer
    if has_rules(own):
        return tokenizer
    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.normalizer = normalizers.Sequence([*rules(), *([] if own is None else [own])])
    # The model-specific classes of transformers 5 build their own normalizer and ignore the one in tokenizer.json
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        name_or_path=tokenizer.name_or_path,
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        extra_special_tokens=tokenizer.extra_special_tokens,
        **tokenizer.special_tokens_map,
    )


def has_rules(normalizer: Any) -> bool:
    """Return whether a normalizer of a tokenizer, or None, begins with `rules`."""
    from tokenizers import normalizers

    def steps(sequence: Any) -> list[str]:
        found = map(json.dumps, json.loads(sequence.__getstate__()).get("normalizers", []))
        # The rule for joiners depends on the version of Unicode, and so on that of Python
        return [step for step in found if r"[\u200c\u200d]" not in step]

    wanted = steps(normalizers.Sequence(rules()))
    return normalizer is not None and steps(normalizer)[: len(wanted)] == wanted


@functools.cache
def rules() -> list[Any]:
    """The rules of `normalize` in the same order, as normalizers of the library tokenizers."""
    from tokenizers import Regex, normalizers

    def replace(pattern: str, content: str) -> Any:
        return normalizers.Replace(Regex(pattern), content)

    # All characters with the same replacement share one rule, because each rule reads the whole text
    originals: dict[str, str] = {}
    for char in map(chr, [*CP1252, *QUOTES]):
        target = CP1252.get(ord(char), char).translate(QUOTES)
        originals[target] = originals.get(target, "") + char
    return [
        *(replace(f"[{chars}]", target) for target, chars in originals.items()),
        replace(LINE_BREAKS.pattern, " "),
        replace(CONTROL.pattern, ""),
        replace(INVISIBLE.pattern, ""),
        replace(stray_joiner(), ""),
        replace(SPACES.pattern, " "),
        replace(" {2,}", " "),
        normalizers.Strip(),
        normalizers.NFC(),
    ]


def stray_joiner() -> str:
    """A pattern for the joiners that `normalizing.without_stray_joiners` removes.

    A look-behind has a fixed length, so there is an alternative for each number of combining marks.
    """
    mark = char_class(lambda char: unicodedata.combining(char) > 0)
    virama = char_class(lambda char: unicodedata.combining(char) == VIRAMA)

    def not_after(first: str) -> str:
        return "(?<!" + "|".join(first + mark * count for count in range(MAX_MARKS + 1)) + ")"

    joiner, joinable = "[\u200c\u200d]", JOINABLE.pattern
    return f"{not_after(virama)}(?:{not_after(joinable)}{joiner}|{joiner}(?!{mark}*{joinable}))"


def char_class(belongs: Callable[[str], bool]) -> str:
    """A pattern for one of the characters below `LAST_MARK` that belong to a class.

    >>> char_class(str.isdecimal)[:8]
    '[0-9\u0660-\u0669\u06f0'
    """
    codes = [code for code in range(LAST_MARK) if belongs(chr(code))]
    known = set(codes)
    starts = [chr(code) for code in codes if code - 1 not in known]
    ends = [chr(code) for code in codes if code + 1 not in known]
    return "[" + "".join(a if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)) + "]"
