"""What this service counts of its work, under `/metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class SyncMetrics:
    """Counters of this service; one instance a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._syncs = Counter(
            "tollgate_catalog_sync_syncs", "Syncs by source and end", ("source", "end"), registry=registry
        )
        self._changes = Counter(
            "tollgate_catalog_sync_changes", "What syncs changed, by kind", ("kind",), registry=registry
        )
        self.republished = Counter(
            "tollgate_catalog_sync_republished", "Snapshots told again because the bucket differed", registry=registry
        )

    def completed(self, source: str, **changes: int) -> None:
        """Count a sync and what it changed, by kind."""
        self._syncs.labels(source, "completed").inc()
        for kind, number in changes.items():
            self._changes.labels(kind).inc(number)

    def failed(self, source: str) -> None:
        """Count a sync that changed nothing because its source could not be read."""
        self._syncs.labels(source, "failed").inc()
