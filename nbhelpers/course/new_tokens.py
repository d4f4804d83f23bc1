"""New tokens, such as those of speakers, and the ways of tuning that train their rows of the embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TRAINS_NEW_TOKENS = ("full", "lora")


def new_tokens_fault(config: Mapping[str, Any]) -> str:
    """Why the speaker format of a configuration does not go with its method of tuning, as a phrase; else "".

    >>> new_tokens_fault({"speaker_format": "id", "tuning": {"method": "ia3"}})[:48]
    'speaker_format id does not go with tuning by ia3'
    >>> new_tokens_fault({"speaker_format": "id"})
    ''
    """
    method = config.get("tuning", {}).get("method", "full")
    if config.get("speaker_format") != "id" or method in TRAINS_NEW_TOKENS:
        return ""
    return (
        f"speaker_format id does not go with tuning by {method}, which leaves the rows of the new tokens at random "
        f"values; choose {' or '.join(TRAINS_NEW_TOKENS)}, or another speaker_format"
    )
