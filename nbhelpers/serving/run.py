"""From a function that loads a model to a service that answers."""

import errno
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import uvicorn

from .app import API_KEY, parse_keys
from .connections import allow_connections
from .limits import DEFAULTS, Limits
from .model import Model
from .pages import curl
from .workers import load_app, not_started, serve_with_workers, set_up_logging, uvicorn_options


def serve(
    load: Callable[[], Model | Mapping[str, Model]],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits = DEFAULTS,
    workers: int = 1,
) -> None:
    """Load the model, try it, print the address and an example, and serve until SIGTERM or Ctrl+C.

    Open requests are then finished.

    The environment variable NBHELPERS_API_KEY sets a key. What prevents the start is printed as one sentence, and the
    exit code is 1.

    Args:
        load: returns the model; called in each worker. It decides how many threads a model computes with: workers times
            threads should not exceed the number of cores. With one worker, it can also return several models by name,
            see `create_joint_app`.
        host: "0.0.0.0" lets other machines in.
        port: 0 takes a free one.
        limits: of each worker.
        workers: how many processes share the address. One that dies is replaced, and /metrics counts for all of them.
            With several, the signal SIGHUP brings a changed model into service without a gap.
            Each is a new process: with more than one, `load` must be picklable, such as
            functools.partial(function_of_a_module, folder), and in a script the call of `serve` must be under
            `if __name__ == "__main__":`. "Ready" is printed when the first one serves; the others follow.
    """
    set_up_logging()
    allow_connections(limits)
    require_free(host, port)
    start, several, path = time.perf_counter(), workers > 1, ""
    print("Loading the model ...", flush=True)
    try:
        parse_keys(os.environ.get(API_KEY))
        loaded: Any = pickle.dumps(load) if several else load_app(load, limits)
        listener = listen(host, port)
    except Exception as error:
        sys.exit(not_started(error))
    warn_if_open(host)
    shown = "localhost" if host in ("", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}"

    def announce(reads: str) -> None:
        seconds = time.perf_counter() - start
        print(f"Ready after {seconds:.1f} s: {address} (API: {address}/docs). Ctrl+C ends it.")
        print(f"  {curl(address + path, reads, with_key=API_KEY in os.environ)}", flush=True)

    if several:
        return serve_with_workers(loaded, limits, workers, listener, announce)
    path = loaded.state.path
    announce(loaded.state.reads)
    # One process cannot load a model beside its own, and a closed terminal must lose nothing. Windows has no SIGHUP.
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        uvicorn.Server(uvicorn.Config(loaded, **uvicorn_options(limits))).run(sockets=[listener])
    except KeyboardInterrupt:
        print("Stopped.")


def require_free(host: str, port: int) -> None:
    """End the program unless a service can listen there. Call it before the time is spent that a model takes to load.

    What is wrong is printed as one sentence, and the exit code is 1.
    """
    try:
        listen(host, port).close()
    except OSError as error:
        sys.exit(not_started(error))


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises OSError when that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()  # all addresses, those of IPv4 as well
    try:
        listener = socket.create_server((host, port), family=family, dualstack_ipv6=both)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            advice = f"choose another port, such as {port + 1}, or 0 for a free one"
            raise OSError(f"port {port} is in use; {advice}") from error
        reason = (error.strerror or repr(error)).partition(" (")[0]
        raise OSError(f"{host!r}, port {port}: {reason}; choose another host or port") from error
    # Connections inherit this option. asyncio sets it only on sockets that name their protocol, and without it the
    # second part of a small response waits 40 ms until the client has confirmed the first part.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    return listener


def warn_if_open(host: str) -> None:
    """Say it when other machines can use the service without a key."""
    if host not in ("127.0.0.1", "::1", "localhost") and not os.environ.get(API_KEY):
        print(f"Anyone who can reach this machine can use the service; set {API_KEY} to require a key.")
