"""Training on a CPU keeps the memory that it frees, and needs no more of it."""

import platform
import subprocess
import sys

import pytest
from training_runs import tiny_model, train, train_by_trainer

from nbhelpers import training

COUNT_FAULTS = """
import resource
import torch
from nbhelpers import training

def allocate():
    for _ in range(5):
        torch.ones(2**24)

if {keep}:
    training.keep_freed_memory()
allocate()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
allocate()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
def test_tensors_get_the_pages_of_those_that_were_freed():
    faults = {
        keep: int(subprocess.check_output([sys.executable, "-c", COUNT_FAULTS.format(keep=keep)], text=True))
        for keep in (False, True)
    }
    assert faults[True] < faults[False] / 10, faults  # 5 times 64 MiB are 82,000 pages of 4 KiB


@pytest.mark.parametrize("library", ["", "musl"])
def test_other_c_libraries_are_left_alone(monkeypatch, library):
    monkeypatch.setattr(platform, "libc_ver", lambda: (library, ""))
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("it was opened"))
    training.keep_freed_memory()


def test_the_loop_and_the_trainer_keep_memory_on_a_cpu(monkeypatch, tmp_path):
    kept = []
    for module in ("loop", "trainer"):
        monkeypatch.setattr(f"nbhelpers.training.{module}.keep_freed_memory", lambda module=module: kept.append(module))
    train(tiny_model(), num_epochs=1)
    train_by_trainer(tiny_model(), tmp_path, num_epochs=1)
    assert kept == ["loop", "trainer"]
