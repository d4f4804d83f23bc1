"""How much one process of the service accepts, and how it groups texts into batches."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one process of the service accepts; with several workers, each accepts as much.

    The defaults suit an encoder of 20 to 130 million parameters on a few CPU cores.

    Args:
        max_texts: texts or turns in one request.
        max_characters: characters of one text.
        max_body_bytes: bytes of the body of one request.
        head_timeout: seconds within which a client must have sent the head of its next request.
        body_timeout: seconds within which a client must have sent the body.
        request_timeout: seconds after which a request gets status 504 instead of its answer.
        shutdown_timeout: seconds that open requests have to end after SIGTERM; then they get status 503.
        max_connections: open connections; a further one takes the place of the one that has been silent longest. There
            are never more than the operating system allows (`ulimit -n`), less a reserve.
        max_concurrent_requests: POST requests that are handled at the same time; further ones get status 503.
        max_queued_characters: characters that may wait for the tokenizer; what does not fit gets status 503, but a
            request of at most `max_characters` always fits.
        max_queued_tokens: tokens that may be computed before a new request is complete, including its own; a request
            that would exceed this gets status 503. Longer requests that wait do not count, because they are computed
            later. In all, four times as many tokens may wait.
        max_tokens: the token budget of a batch, padding included. It bounds how long a short text waits for a batch
            that has already started.
        batch_size: the most examples in a batch.
        batching_delay: seconds that an idle service waits for further requests before it starts a batch.
    """

    max_texts: int = 64
    max_characters: int = 2000
    max_body_bytes: int = 512 * 1024
    head_timeout: float = 10.0
    body_timeout: float = 5.0
    request_timeout: float = 60.0
    shutdown_timeout: float = 8.0
    max_connections: int = 10_000
    max_concurrent_requests: int = 512
    max_queued_characters: int = 262_144
    max_queued_tokens: int = 65_536
    max_tokens: int = 1024
    batch_size: int = 32
    batching_delay: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError for a limit that would let nothing through."""
        for name, value in vars(self).items():
            if value < 0 or (value == 0 and name != "batching_delay"):
                raise ValueError(f"{name}={value} would let nothing through; pass a positive number")


DEFAULTS = Limits()
