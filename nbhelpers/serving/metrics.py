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
    drift against the training data; `nbhelpers_batch_size` and `nbhelpers_queued_tokens` show the load.
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
        batches = Histogram("nbhelpers_batch_size", "Examples in a batch", buckets=powers_of_two, registry=registry)
        batcher.on_batch = batches.observe
        self.queued_tokens = Gauge(
            "nbhelpers_queued_tokens",
            "Tokens that wait for the model (with several workers: of the worker that responds)",
            registry=registry,
            multiprocess_mode="mostrecent",
        )

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
