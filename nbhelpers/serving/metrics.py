"""What /metrics shows to Prometheus."""

import os

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_fastapi_instrumentator import Instrumentator

from .batcher import Batcher


class Metrics:
    """Counts for Prometheus: of requests (http_requests_total, http_request_duration_seconds, ...), and of the model.

    `nbhelpers_predictions_total` by label and the histogram `nbhelpers_confidence` are there so that one can watch for
    drift against the training data. `nbhelpers_batch_size`, `nbhelpers_queue_seconds` (how long the first example of a
    batch has waited), `nbhelpers_compute_seconds` (of a batch) and `nbhelpers_queued_tokens` show the load.
    """

    def __init__(self, batcher: Batcher) -> None:
        self.batcher = batcher
        self.registry = registry = CollectorRegistry()  # not the global one: a process may hold several services
        self.predictions = Counter("nbhelpers_predictions", "Predicted labels", ["label"], registry=registry)
        tenths = [n / 10 for n in range(1, 10)]
        self.confidence = Histogram(
            "nbhelpers_confidence", "Probability of the predicted label", buckets=tenths, registry=registry
        )
        powers_of_two = [2**n for n in range(8)]
        self.batch_size = Histogram(
            "nbhelpers_batch_size", "Examples in a batch", buckets=powers_of_two, registry=registry
        )
        seconds = [0.002 * 2**n for n in range(12)]  # 2 ms to 4 s
        self.queue_seconds = Histogram(
            "nbhelpers_queue_seconds", "Waiting of a batch's first example", buckets=seconds, registry=registry
        )
        self.compute_seconds = Histogram(
            "nbhelpers_compute_seconds", "Computing of a batch", buckets=seconds, registry=registry
        )
        batcher.on_batch = self.observe_batch
        self.queued_tokens = Gauge(
            "nbhelpers_queued_tokens",
            "Tokens that wait for the model (with several workers: of the worker that responds)",
            registry=registry,
            multiprocess_mode="mostrecent",
        )

    def observe_batch(self, batch_size: int, waited: float, computed: float) -> None:
        """Count a batch: its examples, the seconds its first one has waited, and the seconds it was computed."""
        self.batch_size.observe(batch_size)
        self.queue_seconds.observe(waited)
        self.compute_seconds.observe(computed)

    def watch_requests(self, app: FastAPI) -> None:
        """Count the requests of `app` and their seconds, by path, method and status."""
        # Single statuses are worth knowing: a 499 is a client that left, a 500 is a fault.
        Instrumentator(should_group_status_codes=False, registry=self.registry).instrument(app)

    def text(self) -> bytes:
        """All counts in Prometheus's format; with several workers, their sums."""
        self.queued_tokens.set(self.batcher.queued_tokens)
        registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry)
