"""Fixtures that many tests share: exported models, because exporting takes seconds, and a small real encoder."""

import functools
import os

import pytest
from filelock import FileLock


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder that all workers of pytest-xdist share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def encoder_folders(shared_folder):
    """A folder with a subfolder per architecture: random weights, and the tokenizer of the embedded encoder."""
    import exported_models

    return make_once(shared_folder / "encoders", exported_models.save_encoders)


@pytest.fixture(scope="session")
def shallow_encoder(shared_folder):
    """A folder with the first two layers of the embedded encoder: real weights, a third of the time."""
    import exported_models

    return str(make_once(shared_folder / "shallow", exported_models.save_shallow_encoder))


@pytest.fixture(scope="session")
def exported(encoder_folders, shared_folder):
    """A function (architecture, mode, int8=False) -> tokenizer, model, exported folder. Do not change any of them."""
    import exported_models

    @functools.cache
    def get(name, mode, int8=False):
        tokenizer, model = exported_models.load_encoder(encoder_folders, name, mode)
        write = functools.partial(exported_models.write_folder, tokenizer, model, mode, int8)
        folder = make_once(shared_folder / f"{name}-{mode}-{'int8' if int8 else 'fp32'}", write)
        return tokenizer, model, folder

    return get


def make_once(folder, write):
    """Fill a folder by `write(folder)` unless it exists, perhaps because another worker did it."""
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            write(unfinished)
            unfinished.rename(folder)
    return folder
