"""Memory that stays with the program from one training step to the next."""

from __future__ import annotations

import ctypes
import platform

# Numbers of glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Have the C library keep the memory that is freed, for the rest of the program; only glibc, so Linux, can.

    A training step on a CPU allocates the same large tensors each time. glibc gives each of them back to the system
    and asks for new pages, which the system fills with zeros. That takes about a tenth of the time of a step. What
    is kept is at most what the program used at its peak, plus 256 MiB of addresses.

    Source: mallopt(3) in the Linux manual.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)  # no mapping of its own for a large tensor
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)  # the largest int: do not shrink the heap
        libc.mallopt(M_TOP_PAD, 2**28)  # grow it by 256 MiB at a time
