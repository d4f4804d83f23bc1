"""The exercises of lesson 12: from IOB1 to IOB2, labels for pieces of words, entity F1, positions in UTF-16."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from .exercise import Exercise
from .kinds import NUMBER, WHOLE_NUMBER, WHOLE_NUMBERS, Kind, Unfit, plain, short, show_plainly

NO_LABEL = -100
Entity = tuple[int, int, str]
CHARACTERS = ["a", "B", " ", "é", "e\u0301", "東", "😀", "👩‍🚀", "👍🏽", "🇳🇿"]


def read_tags(result: Any) -> list[str]:
    """A list of tags, which are texts such as "B-PER"."""
    values = plain(result)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise Unfit(f"a list of tags was expected, not {short(result)}")
    return [value.strip() for value in values]


TAGS = Kind(read_tags, list.__eq__, show_plainly)


def to_iob2(tags: Sequence[str]) -> list[str]:
    """Tags of IOB1 in IOB2: an I- becomes B- unless the tag before has the same type."""
    converted, last = [], "O"
    for tag in tags:
        continues = tag[0] == "I" and tag[2:] == last[2:]
        converted.append(tag if tag == "O" or continues else f"B-{tag[2:]}")
        last = tag
    return converted


def iob1_inputs(draw: random.Random) -> list[tuple[list[str]]]:
    """Entities side by side, of one type and of two; no entity; no word; and random sentences."""

    def some() -> list[str]:
        tags: list[str] = []
        for _ in range(draw.randint(1, 6)):
            kind, size = draw.choice(["O", "O", "PER", "LOC", "ORG"]), draw.randint(1, 3)
            follows = bool(tags) and tags[-1][2:] == kind
            entity = [f"{'B' if follows else 'I'}-{kind}", *[f"I-{kind}"] * (size - 1)]
            tags += ["O"] * size if kind == "O" else entity
        return tags

    first = ["I-LOC", "I-LOC", "B-LOC", "O", "I-LOC", "I-PER", "I-PER"]
    return [(first,), (["O", "O"],), ([],), (["I-PER"],), *((some(),) for _ in range(30))]


def iob1_mistakes(tags: Sequence[str]) -> dict[str, list[str]]:
    """Other rules for the first word of an entity."""

    def change(begins: Callable[[str, str], bool]) -> list[str]:
        pairs = zip(["O", *tags], tags, strict=False)
        return ["O" if tag == "O" else f"{'B' if begins(last, tag) else 'I'}-{tag[2:]}" for last, tag in pairs]

    kinds_before = [next((x[2:] for x in reversed(tags[:i]) if x != "O"), "") for i in range(len(tags))]
    across = zip(tags, kinds_before, strict=True)
    return {
        "These are the tags as they came. In IOB2 every entity begins with B-.": list(tags),
        "Each word of an entity got B-. Only its first word gets it.": change(lambda last, tag: True),
        "An entity of another type begins even where no O is between: compare the types.": change(
            lambda last, tag: tag[0] == "B" or last == "O"
        ),
        "An O ends an entity. After it a new one begins, also if it has the same type.": [
            tag if tag == "O" or (tag[0] == "I" and tag[2:] == kind) else f"B-{tag[2:]}" for tag, kind in across
        ],
        "A B- of IOB1 divides two entities of one type, so it stays.": change(lambda last, tag: last[2:] != tag[2:]),
        "The first word of the sentence is not converted.": [*tags[:1], *to_iob2(tags)[1:]],
    }


def piece_labels(labels: Sequence[int], num_pieces: Sequence[int]) -> list[int]:
    """A label for each token: that of the word for its first piece, and -100 for the rest and for [CLS] and [SEP]."""
    tokens = [NO_LABEL]
    for label, size in zip(labels, num_pieces, strict=True):
        tokens += [label, *[NO_LABEL] * (size - 1)]
    return [*tokens, NO_LABEL]


def pieces_inputs(draw: random.Random) -> list[tuple[list[int], list[int]]]:
    """Words of one and of several pieces, a sentence without words, and random sentences."""

    def some() -> tuple[list[int], list[int]]:
        size = draw.randint(1, 8)
        return [draw.randint(0, 4) for _ in range(size)], [draw.randint(1, 4) for _ in range(size)]

    return [([1, 2, 0], [1, 4, 1]), ([], []), ([0], [5]), ([3, 3], [1, 1]), *(some() for _ in range(20))]


def pieces_mistakes(labels: Sequence[int], num_pieces: Sequence[int]) -> dict[str, list[int]]:
    """Other places for the label, and other marks for what has none."""
    right, pairs = piece_labels(labels, num_pieces), [*zip(labels, num_pieces, strict=True)]
    every = [label for label, size in pairs for _ in range(size)]
    last = [x for label, size in pairs for x in [*[NO_LABEL] * (size - 1), label]]
    return {
        "[CLS] and [SEP] are tokens as well. They need a -100 each.": right[1:-1],
        "Every piece got the label. Only the first piece of a word gets it here.": [NO_LABEL, *every, NO_LABEL],
        "The label is at the last piece. It belongs to the first.": [NO_LABEL, *last, NO_LABEL],
        "0 is the class O, which counts in the loss. What has no label gets -100.": [max(0, x) for x in right],
        "This has one label for each word. Each further piece needs a -100.": [NO_LABEL, *labels, NO_LABEL],
        "After the label of a word of n pieces come n - 1 times -100, not n times.": [
            NO_LABEL,
            *[x for label, size in pairs for x in [label, *[NO_LABEL] * size]],
            NO_LABEL,
        ],
    }


def f1_of(hits: int, num_gold: int, num_predicted: int) -> float:
    """F1, which is 0 where there is nothing to find and nothing was found."""
    total = num_gold + num_predicted
    return 2 * hits / total if total else 0.0


def entity_f1(gold: Sequence[Sequence[Entity]], predicted: Sequence[Sequence[Entity]]) -> float:
    """The F1 of all entities of some sentences together; 0 if there are none."""
    hits = sum(len(set(a) & set(b)) for a, b in zip(gold, predicted, strict=True))
    return f1_of(hits, sum(map(len, gold)), sum(map(len, predicted)))


def f1_inputs(draw: random.Random) -> list[tuple[list[list[Entity]], list[list[Entity]]]]:
    """Two sentences with each kind of error, sentences without entities, and random ones."""
    gold: list[list[Entity]] = [[(0, 2, "PER"), (5, 6, "LOC"), (8, 9, "ORG")], [(0, 1, "ORG"), (3, 4, "DATE")]]
    predicted: list[list[Entity]] = [[(0, 2, "PER"), (3, 4, "DATE"), (5, 7, "LOC")], [(0, 1, "PER")]]

    def some() -> list[Entity]:
        starts = [place + draw.randint(0, 1) for place in sorted(draw.sample(range(0, 12, 4), draw.randint(0, 3)))]
        return [(start, start + draw.randint(1, 2), draw.choice(["PER", "LOC"])) for start in starts]

    pairs = [([some() for _ in range(3)], [some() for _ in range(3)]) for _ in range(30)]
    return [(gold, predicted), ([[], []], [[], []]), ([[(0, 1, "PER")]], [[]]), (gold, gold), *pairs]


def f1_mistakes(gold: Sequence[Sequence[Entity]], predicted: Sequence[Sequence[Entity]]) -> dict[str, float]:
    """Other counts of the same entities."""
    num_gold, num_predicted = sum(map(len, gold)), sum(map(len, predicted))
    both = [*zip(gold, predicted, strict=True)]

    def count(key: Callable[[Entity], Any]) -> int:
        return sum(len({*map(key, a)} & {*map(key, b)}) for a, b in both)

    hits = count(lambda entity: entity)
    pooled = len({x for a in gold for x in a} & {x for b in predicted for x in b})
    touching = sum(any(x[0] < y[1] and y[0] < x[1] and x[2] == y[2] for y in a) for a, b in both for x in b)
    each = [f1_of(len(set(a) & set(b)), len(a), len(b)) for a, b in both]
    return {
        "This is the precision. F1 needs the recall as well.": hits / num_predicted if num_predicted else 0.0,
        "This is the recall. F1 needs the precision as well.": hits / num_gold if num_gold else 0.0,
        "The type must be right as well, not only the place.": f1_of(count(lambda x: x[:2]), num_gold, num_predicted),
        "An entity that ends elsewhere is wrong: compare start and stop.": f1_of(
            count(lambda x: (x[0], x[2])), num_gold, num_predicted
        ),
        "An entity that only overlaps with a gold one is wrong.": f1_of(touching, num_gold, num_predicted),
        "An entity of another sentence at the same place is no hit. Compare sentence by sentence.": f1_of(
            pooled, num_gold, num_predicted
        ),
        "This is the mean of the F1 of each sentence. Add up the counts of all sentences first.": sum(each) / len(each),
        "The factor 2 is missing: F1 is 2 * hits / (gold + predicted).": f1_of(hits, num_gold, num_predicted) / 2,
        "Give F1 as a number from 0 to 1, not in percent.": 100 * f1_of(hits, num_gold, num_predicted),
    }


def to_utf16(text: str, position: int) -> int:
    """A position of Python, in code points, as JavaScript and Java count it, in units of UTF-16."""
    return len(text[:position].encode("utf-16-le")) // 2


def utf16_inputs(draw: random.Random) -> list[tuple[str, int]]:
    """An emoji before the name, the start of the text, a text without emojis, and random texts."""

    def some() -> tuple[str, int]:
        text = "".join(draw.choices(CHARACTERS, k=draw.randint(1, 12)))
        return text, draw.randint(0, len(text))

    return [("😀 Zoë 👩‍🚀 met Ana", 12), ("Ana left", 4), ("😀😀", 0), ("", 0), *(some() for _ in range(30))]


def utf16_mistakes(text: str, position: int) -> dict[str, int]:
    """Other units, and other parts of the text."""
    before = text[:position]
    large = sum(ord(character) > 0xFFFF for character in before)
    return {
        "This is the position as it came. Characters above U+FFFF count twice in UTF-16.": position,
        "These are the bytes of UTF-8. Encode as UTF-16.": len(before.encode("utf-8")),
        "These are bytes. A unit of UTF-16 has two of them.": 2 * to_utf16(text, position),
        "The encoding utf-16 writes a mark of two bytes first. Use utf-16-le.": to_utf16(text, position) + 1,
        "This is the whole text. Count only what is before the position.": to_utf16(text, len(text)),
        "A large character counts twice, so it adds 1 to the position, not 2.": position + 2 * large,
    }


EXERCISES = {
    "12-iob2": Exercise(
        TAGS,
        to_iob2,
        inputs=iob1_inputs,
        hints=(
            "Go through the tags and remember the tag before. An O stays an O, and a B- stays a B-.",
            "An I- continues an entity only if the tag before has the same type. Otherwise it becomes B-.",
            "tag[0] is the prefix, tag[2:] the type. Of 'O', tag[2:] is empty, so it equals no type.",
        ),
        because="Where two entities touch, the type decides. tagging.read converts a whole file in this way.",
        mistakes=iob1_mistakes,
    ),
    "12-pieces": Exercise(
        WHOLE_NUMBERS,
        piece_labels,
        inputs=pieces_inputs,
        hints=(
            "Begin with [-100] for [CLS]. Then go through the words, and at the end add -100 for [SEP].",
            "A word of n pieces gives its label once, and then n - 1 times -100.",
            "[label] + [-100] * (size - 1) is what a word gives.",
        ),
        because="The loss leaves -100 out, so each word counts once, however many pieces it has.",
        mistakes=pieces_mistakes,
    ),
    "12-f1": Exercise(
        NUMBER,
        entity_f1,
        inputs=f1_inputs,
        hints=(
            "An entity is a hit if the same sentence has it in both lists: same start, same stop, same type.",
            "Count three numbers over all sentences: hits, gold entities, predicted entities.",
            "F1 is 2 * hits / (gold + predicted), and 0 if that sum is 0.",
        ),
        because="A wrong first or last word costs twice: a gold entity is missed, and a false one is predicted.",
        mistakes=f1_mistakes,
    ),
    "12-utf16": Exercise(
        WHOLE_NUMBER,
        to_utf16,
        inputs=utf16_inputs,
        hints=(
            "Only the part of the text before the position matters: text[:position].",
            "Encode it with 'utf-16-le'. Each unit of UTF-16 takes two bytes.",
            "len(text[:position].encode('utf-16-le')) // 2",
        ),
        because="Convert positions once, where they leave Python. A page in a browser then marks the right words.",
        mistakes=utf16_mistakes,
    ),
}
