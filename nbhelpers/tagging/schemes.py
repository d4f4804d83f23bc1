"""Tag schemes: how the tags of words say where an entity begins and ends.

"George Washington visited Paris" in the three schemes that files have:

    IOB1   I-PER I-PER O I-LOC    B- only where an entity follows another one of its type at once
    IOB2   B-PER I-PER O B-LOC    each entity begins with B-
    BIOES  B-PER E-PER O S-LOC    the last word of an entity has E-, an entity of one word has S-
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from .errors import TagError

SCHEMES = ("iob1", "iob2", "bioes")
OUTSIDE = "O"
SAME_AS_BIOES = {"U": "S", "L": "E"}  # the letters of BILOU, another name of the same scheme


class Entity(NamedTuple):
    """An entity: its first word, the one after its last, and its type."""

    start: int
    stop: int
    type: str


def parse(tag: str) -> tuple[str, str]:
    """Divide a tag into its prefix and its type.

    Raises:
        TagError: it is no tag.

    >>> parse("B-PER"), parse("O")
    (('B', 'PER'), ('O', ''))
    """
    if tag == OUTSIDE:
        return tag, ""
    prefix, _, entity_type = tag.partition("-")
    if prefix not in ("B", "I", "E", "S", "U", "L") or not entity_type:
        raise TagError(f"{tag!r} is not a tag; write O, or B-TYPE and I-TYPE, such as B-PER")
    return SAME_AS_BIOES.get(prefix, prefix), entity_type


def detect(sentences: Sequence[Sequence[str]]) -> str:
    """Return the scheme that all sentences follow: "bioes" if a tag has its letters, else "iob2" or "iob1".

    Args:
        sentences: the tags of each sentence.

    Raises:
        TagError: they follow none. Its `sentence` and `word` are the place of the first fault, counted from 0.

    >>> detect([["I-PER", "I-PER", "O"]]), detect([["B-PER", "I-PER", "O"]]), detect([["S-PER", "O"]])
    ('iob1', 'iob2', 'bioes')
    """
    prefixes = {parse(tag)[0] for tags in sentences for tag in tags}
    candidates = ("bioes",) if prefixes & {"E", "S"} else ("iob2", "iob1") if "B" in prefixes else ("iob1", "iob2")
    for scheme in candidates:
        if not any(fault(tags, scheme) for tags in sentences):
            return scheme
    number, (word, message) = next((i, found) for i, tags in enumerate(sentences) if (found := fault(tags, "iob2")))
    raise TagError(message, number, word)


def fault(tags: Sequence[str], scheme: str) -> tuple[int, str] | None:
    """Return the position and description of the first tag that a scheme does not allow, or None.

    >>> fault(["O", "I-PER"], "iob2")
    (1, 'I-PER follows O, but in IOB2 an entity begins with B-PER')
    """
    check_scheme(scheme)
    last = OUTSIDE
    for i, tag in enumerate([*tags, OUTSIDE]):
        (prefix, entity_type), (last_prefix, last_type) = parse(tag), parse(last)
        inside = last_type == entity_type and last_prefix in ("B", "I")
        if scheme == "iob1":
            if prefix == "B" and not (last_type == entity_type and last_prefix in ("B", "I")):
                return i, f"{tag} follows {last}, but in IOB1 B- only divides two entities of one type"
        elif scheme == "iob2":
            if prefix == "I" and not inside:
                return i, f"{tag} follows {last}, but in IOB2 an entity begins with B-{entity_type}"
        elif prefix in ("I", "E") and not inside:
            return i, f"{tag} follows {last}, but in BIOES an entity begins with B-{entity_type} or S-{entity_type}"
        elif last_prefix in ("B", "I") and prefix not in ("I", "E"):
            return max(0, i - 1), f"{last} is not followed by I-{last_type} or E-{last_type}; its entity has no end"
        last = tag
    return None


def check_scheme(scheme: str) -> None:
    """Raise TagError for a scheme that is not known."""
    if scheme not in SCHEMES:
        raise TagError(f"scheme {scheme!r} is not one of {', '.join(SCHEMES)}")


def to_iob2(tags: Sequence[str], scheme: str) -> list[str]:
    """Return the tags of a sentence in IOB2.

    Args:
        tags: in `scheme`, without a `fault`.
        scheme: "iob1", "iob2" or "bioes".

    Two places follow each other at once here, so the second one has B- in IOB1 as well:

    >>> to_iob2(["I-LOC", "B-LOC", "I-PER"], "iob1")
    ['B-LOC', 'B-LOC', 'B-PER']
    >>> to_iob2(["B-PER", "E-PER", "S-LOC"], "bioes")
    ['B-PER', 'I-PER', 'B-LOC']
    """
    check_scheme(scheme)
    converted = []
    for last, tag in itertools.pairwise([OUTSIDE, *tags]):
        (prefix, entity_type), (_, last_type) = parse(tag), parse(last)
        if tag == OUTSIDE:
            converted.append(tag)
        elif prefix in ("B", "S") or (scheme == "iob1" and last_type != entity_type):
            converted.append(f"B-{entity_type}")
        else:
            converted.append(f"I-{entity_type}")
    return converted


def from_iob2(tags: Sequence[str], scheme: str) -> list[str]:
    """Return the tags of a sentence, which are in IOB2, in another scheme.

    >>> from_iob2(["B-LOC", "B-LOC", "B-PER", "I-PER"], "bioes")
    ['S-LOC', 'S-LOC', 'B-PER', 'E-PER']
    >>> from_iob2(["B-LOC", "B-LOC", "B-PER", "I-PER"], "iob1")
    ['I-LOC', 'B-LOC', 'I-PER', 'I-PER']
    """
    check_scheme(scheme)
    if scheme == "iob2":
        return list(tags)
    converted = [OUTSIDE] * len(tags)
    last = Entity(0, 0, "")
    for entity in entities(tags):
        start, stop, entity_type = entity
        converted[start:stop] = [f"I-{entity_type}"] * (stop - start)
        if scheme == "bioes":
            converted[stop - 1] = f"E-{entity_type}"
            converted[start] = f"{'S' if stop - start == 1 else 'B'}-{entity_type}"
        elif last.stop == start and last.type == entity_type:
            converted[start] = f"B-{entity_type}"
        last = entity
    return converted


def entities(tags: Sequence[str]) -> list[Entity]:
    """Return the entities of a sentence whose tags are in IOB2. An I- that continues no entity belongs to none.

    >>> entities(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
    [Entity(start=0, stop=2, type='PER'), Entity(start=4, stop=5, type='LOC')]
    """
    found: list[Entity] = []
    for i, tag in enumerate(tags):
        prefix, entity_type = parse(tag)
        if prefix == "B":
            found.append(Entity(i, i + 1, entity_type))
        elif prefix == "I" and found and found[-1].stop == i and found[-1].type == entity_type:
            found[-1] = found[-1]._replace(stop=i + 1)
    return found


def tags_of(num_words: int, found: Sequence[Entity]) -> list[str]:
    """Return the tags in IOB2 of a sentence with these entities, which do not overlap.

    >>> tags_of(3, [Entity(0, 2, "PER")])
    ['B-PER', 'I-PER', 'O']
    """
    tags = [OUTSIDE] * num_words
    for start, stop, entity_type in found:
        tags[start:stop] = [f"B-{entity_type}", *[f"I-{entity_type}"] * (stop - start - 1)]
    return tags


def tag_names(types: Sequence[str]) -> list[str]:
    """Return the tags of some entity types, in the order of a model's classes: O first.

    >>> tag_names(["PER", "LOC"])
    ['O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC']
    """
    return [OUTSIDE, *(f"{prefix}-{entity_type}" for entity_type in types for prefix in ("B", "I"))]
