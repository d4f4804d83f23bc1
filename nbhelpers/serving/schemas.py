"""Requests and responses of the service. The requests that depend on limits are in `routes`."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

# In words for a program that reads the OpenAPI schema: no NUL, and at least one character that is not a space.
# Accents alone, and spaces of no width, are not visible.
VISIBLE = r"[^\s\x00\u00ad\u0300-\u036f\u200b-\u200f\u2060\ufeff]"
NOT_BLANK = rf"^[^\x00]*{VISIBLE}[^\x00]*$"

# What a model reads -> where it is sent, and an example of it.
EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "texts": ("/classify", {"texts": ["What a day!", "Leave me alone."]}),
    "pairs": ("/classify", {"texts": [["Is it far?", "It is an hour by train."]]}),
    "tags": ("/entities", {"texts": ["Ana Lobo moved from Lisbon to Turku in May."]}),
    "dialogues": ("/classify/dialogue", {"turns": [{"speaker": "Ann", "text": "The bus left without me."}]}),
}


def check_text(text: Any) -> Any:
    """Refuse a text that is empty or broken, before its length is checked.

    >>> check_text("Hello!")
    'Hello!'
    """
    if isinstance(text, str):
        if not re.search(VISIBLE, text):
            raise ValueError("the text is empty")
        if "\x00" in text:
            raise ValueError("the text contains a NUL character; remove it")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("the text contains half of a character (a lone surrogate); send the whole character")
    return text


def text_field(max_characters: int) -> Any:
    """The limits of a text, for use with `check_text`."""
    return Field(min_length=1, max_length=max_characters, json_schema_extra={"pattern": NOT_BLANK})


def whole_number(number: Any) -> Any:
    """5.0 -> 5, because JSON has one type for both; all else is left to the next check."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


class Query(BaseModel):
    """A request: no value is converted to another type, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def check_names(cls, data: Any) -> Any:
        """Stop at the first unknown field. pydantic alone collects all, which takes seconds for a hostile body."""
        if isinstance(data, dict):
            for name in data:
                if name not in cls.model_fields:
                    shown = name.encode("utf-8", "replace").decode()[:60]
                    raise ValueError(f"unknown field {shown!r}; it has {', '.join(cls.model_fields)}")
        return data


class Score(BaseModel):
    """A label and its probability."""

    label: str
    score: float


class Result(BaseModel):
    """The predicted label of a text or turn, and its `top_k` labels, best first.

    A model that gives a text any number of labels also returns `labels`: those it gives, most probable first.
    """

    label: str = Field(description="the most probable one")
    labels: list[str] | None = None
    scores: list[Score]


class Answer(BaseModel):
    """One result for each text or turn, in the order in which they were sent."""

    model: str
    digest: str = Field(description="of the model's files")
    future: bool = Field(description="whether later turns were seen")
    results: list[Result]


class Entity(BaseModel):
    """An entity: the characters from `start` to before `end`, counted as Unicode code points."""

    start: int
    end: int
    label: str
    text: str
    score: float = Field(description="the smallest probability among its words")


class TextEntities(BaseModel):
    """The entities of a text, in order."""

    entities: list[Entity]


class Entities(BaseModel):
    """The entities of each text, in the order in which the texts were sent."""

    model: str
    digest: str = Field(description="of the model's files")
    results: list[TextEntities]
