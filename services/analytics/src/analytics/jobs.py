"""What analytics does by the clock: keeps partitions ready for the months to come."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import structlog
from common.outages import AWAY
from prometheus_client import CollectorRegistry, Gauge

from analytics.flows import Analytics

log = structlog.get_logger()

_LOOK_SECONDS = 6 * 3600.0
_RETRY_SECONDS = 5.0


class JobMetrics:
    """What the jobs tell; one instance a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.prepared_until = Gauge(
            "tollgate_analytics_prepared_until_seconds",
            "Start (Unix time) of the last month that the request log has a partition for",
            registry=registry,
        )


class MonthKeeper:
    """Makes the partitions of coming months long before they are needed; until then the default one serves."""

    def __init__(self, analytics: Analytics, metrics: JobMetrics) -> None:
        self._analytics = analytics
        self._metrics = metrics

    async def run(self) -> None:
        """Look at start and four times a day until cancelled; an outage is waited out."""
        while True:
            try:
                last = await self._analytics.prepare_months()
            except AWAY as error:
                log.warning("partitions_wait", error=type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._metrics.prepared_until.set(datetime(last.year, last.month, 1, tzinfo=UTC).timestamp())
            await asyncio.sleep(_LOOK_SECONDS)
