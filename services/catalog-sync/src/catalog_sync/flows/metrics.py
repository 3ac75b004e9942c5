"""What is counted of syncs."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from catalog_sync.domain.syncs import Sync


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

    def count(self, sync: Sync) -> None:
        """Count one sync and what it changed."""
        self._syncs.labels(sync.source, "completed" if sync.error is None else "failed").inc()
        for kind in ("added", "changed", "gone", "prices_added"):
            self._changes.labels(kind).inc(getattr(sync, kind))
