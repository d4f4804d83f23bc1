"""A stopwatch that can be paused, so that measuring does not count as training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Counts seconds from when it is made. What happens in a block `with watch.paused():` does not count.

    >>> watch = Stopwatch()
    >>> with watch.paused():
    ...     time.sleep(0.2)
    >>> watch.seconds() < 0.1
    True
    """

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.pauses = 0.0

    def seconds(self) -> float:
        """The seconds so far, without the pauses."""
        return time.perf_counter() - self.start - self.pauses

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time that this block takes, whether it ends well or with an error."""
        since = time.perf_counter()
        try:
            yield
        finally:
            self.pauses += time.perf_counter() - since
