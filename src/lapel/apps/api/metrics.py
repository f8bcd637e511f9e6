"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from lapel.apps.api.serving import Serving

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The numbers of one process.

    Args:
        serving: Whose.
    """

    def __init__(self, serving: Serving) -> None:
        own = self._registry = CollectorRegistry()
        self.requests = Counter("lapel_requests", "Requests answered.", ["route", "method", "status"], registry=own)
        self.seconds = Histogram(
            "lapel_request_seconds", "Seconds of a request.", ["route"], buckets=SECONDS, registry=own
        )
        self.batches = Histogram(
            "lapel_batch_pictures", "Pictures encoded together.", buckets=(1, 2, 4, 8, 16, 32), registry=own
        )
        self.batch_seconds = Counter("lapel_batch_seconds", "Seconds that batches took.", registry=own)
        self.refused = Counter("lapel_refused", "Requests refused with 429.", ["why"], registry=own)
        waiting = Gauge("lapel_pictures_waiting", "Pictures that no worker has taken yet.", registry=own)
        waiting.set_function(lambda: serving.batcher.waiting)
        taken = Gauge("lapel_pictures_under_way", "Pictures on their way.", registry=own)
        taken.set_function(lambda: serving.gate.taken)
        products = Gauge("lapel_products", "Products that are shown.", registry=own)
        products.set_function(lambda: serving.store.count())

    def batch(self, size: int, took: float) -> None:
        """Count a batch."""
        self.batches.observe(size)
        self.batch_seconds.inc(took)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
