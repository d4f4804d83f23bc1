"""Fixtures that many tests share: exported models, because exporting takes seconds."""

import functools

import pytest


@pytest.fixture(scope="session")
def encoder_folders(shared_folder, make_once):
    """A folder with a subfolder per architecture: random weights, and the tokenizer of the embedded encoder."""
    import exported_models

    return make_once(shared_folder / "encoders", exported_models.save_encoders)


@pytest.fixture(scope="session")
def exported(encoder_folders, shared_folder, make_once):
    """A function (architecture, mode, int8=False) -> tokenizer, model, exported folder. Do not change any of them."""
    import exported_models

    @functools.cache
    def get(name, mode, int8=False):
        tokenizer, model = exported_models.load_encoder(encoder_folders, name, mode)
        write = functools.partial(exported_models.write_folder, tokenizer, model, mode, int8)
        folder = make_once(shared_folder / f"{name}-{mode}-{'int8' if int8 else 'fp32'}", write)
        return tokenizer, model, folder

    return get


@pytest.fixture
def one_thread():
    """With another number of threads, sums have another order, and weights differ in their last digits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
