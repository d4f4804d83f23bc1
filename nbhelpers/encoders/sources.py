"""Reading from a folder or from the Hub: safe options, quiet output, and errors in one sentence."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
from transformers.utils import logging

HUB_PATIENCE = 3.0  # seconds for an answer of the Hub, before a model that is in the cache is loaded without it


class EncoderError(ValueError):
    """A model cannot be loaded. The message says which model, why, and what to do."""


def from_source(loader: Any, source: str, revision: str | None, **options: Any) -> Any:
    """Call `loader.from_pretrained(source)` and turn every failure into an EncoderError of one sentence.

    Args:
        loader: an Auto class or a model class of transformers.
        source: a local folder or a Hub name, from `find`.
        revision: a commit, tag or branch on the Hub; None is "main".
        options: further arguments of `from_pretrained`.

    Raises:
        EncoderError: the source cannot be loaded.
    """
    try:
        with impatience(source, revision):
            # False is transformers' default, but without a value it asks the user at the terminal
            return loader.from_pretrained(source, revision=revision or "main", trust_remote_code=False, **options)
    except Exception as error:  # OSError, ValueError, KeyError, and errors of safetensors, tokenizers and http clients
        raise EncoderError(f"cannot load {source} ({first_line(error)}); {advice(source, error)}") from error


@contextmanager
def impatience(source: str, revision: str | None) -> Iterator[None]:
    """Load a model that is in the cache from there alone, in a `with` block, where the Hub does not answer.

    Otherwise huggingface_hub asks again and again for each file that the model does not have, over two minutes.

    Args:
        source, revision: as in `from_source`.
    """
    hub = huggingface_hub.constants
    before = hub.HF_HUB_OFFLINE
    # the option local_files_only would do it in public, but transformers does not pass it on for every file
    hub.HF_HUB_OFFLINE = before or (is_cached(source, revision) and not hub_answers(int(time.monotonic() // 60)))
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before


def is_cached(source: str, revision: str | None) -> bool:
    """Whether a source is a model of the Hub that was downloaded before."""
    if Path(source).is_dir():
        return False
    return isinstance(huggingface_hub.try_to_load_from_cache(source, "config.json", revision=revision), str)


@functools.lru_cache(maxsize=1)
def hub_answers(minute: int) -> bool:
    """Whether the Hub answers at all. It is asked once a minute, since a model is loaded in several steps.

    Args:
        minute: the present minute, which makes an old answer expire.
    """
    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=HUB_PATIENCE)
    except Exception:  # no network, no such server, no answer, or HF_HUB_OFFLINE is set
        return False
    return True


def advice(source: str, error: Exception) -> str:
    """What to do about an error of `from_pretrained`."""
    if "trust_remote_code" in str(error) or "custom code" in str(error):
        return "models that bring their own code are not loaded; choose one that transformers knows"
    if Path(source).is_dir():
        return "check that the folder is complete"
    if "safetensors" in str(error):
        return "only safetensors are loaded; choose a revision that has them"
    # users behind a mirror need to know which server answered
    hub = huggingface_hub.constants
    asked = "HF_HUB_OFFLINE is set, so no server was asked" if hub.HF_HUB_OFFLINE else f"asked {hub.ENDPOINT}"
    return (
        f"{asked}: check the spelling and the connection, set HF_ENDPOINT to a mirror before Python starts, "
        "or pass a local folder or 'embedded'"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Switch off the progress bars and load reports of transformers for the length of a `with` block."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:  # the user may have switched them off before
            logging.enable_progress_bar()


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none.

    >>> first_line(OSError("no route to host.\\nTry again later."))
    'no route to host'
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
