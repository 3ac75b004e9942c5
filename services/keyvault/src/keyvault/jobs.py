"""What keyvault does without being asked: telling Redis what it could not be told, forgetting what has run out, making
the buckets whole, rotation schedules, reminders, and going through the audit trail.

Each is a loop that waits out an outage of a server; any other failure is a bug and ends the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog
from common.bus.buckets import read_bucket
from common.bus.connect import Bus
from common.contracts.topology import CREDENTIALS_BUCKET, KEYS_BUCKET, SESSIONS_BUCKET
from common.errors import Unavailable
from common.outages import AWAY
from common.tasks import Tasks
from nats.errors import Error as NatsError

from keyvault.flows import Keyvault
from keyvault.flows.snapshots import digest
from keyvault.metrics import KeyvaultMetrics

log = structlog.get_logger()

_REFUSALS_SECONDS = 1.0
_FORGET_SECONDS = 600.0
_RESTORE_SECONDS = 900.0
_RESTORE_AFTER_FAILURE_SECONDS = 1.0
_REWRAP_SECONDS = 3600.0
_ROTATIONS_SECONDS = 60.0
_REMINDERS_SECONDS = 3600.0
_KEPT_SECONDS = 300.0
_VERIFY_SECONDS = 6 * 3600.0

_OUTAGES = (*AWAY, NatsError, Unavailable)


@dataclass(frozen=True, slots=True)
class Jobs:
    """The loops; `start` runs them as tasks of the process."""

    keyvault: Keyvault
    bus: Bus
    metrics: KeyvaultMetrics

    def start(self, tasks: Tasks) -> None:
        """Begin."""
        tasks.start("settle_refusals", _every(_REFUSALS_SECONDS, "settle_refusals", self.settle_refusals))
        tasks.start("forget_expired", _every(_FORGET_SECONDS, "forget_expired", self.forget_expired))
        tasks.start("verify_audit", _every(_VERIFY_SECONDS, "verify_audit", self.verify_audit))
        tasks.start("rewrap_secrets", _every(_REWRAP_SECONDS, "rewrap_secrets", self.rewrap_secrets))
        tasks.start("rotate_keys", _every(_ROTATIONS_SECONDS, "rotate_keys", self.rotate_keys))
        tasks.start("remind", _every(_REMINDERS_SECONDS, "remind", self.remind))
        tasks.start("take_kept_keys", _every(_KEPT_SECONDS, "take_kept_keys", self.take_kept_keys))
        tasks.start("restore_buckets", self.keep_buckets())

    async def settle_refusals(self) -> None:
        """Tell Redis of keys that it could not be told of."""
        await self.keyvault.refusals.settle_pending()

    async def forget_expired(self) -> None:
        """Forget revocations and keys that no living token needs."""
        await self.keyvault.sessions.forget_expired()

    async def rewrap_secrets(self) -> None:
        """Encrypt what was found plain, and bring all secrets under the newest master key: at start, and every hour."""
        await self.keyvault.rewrapping.encrypt_plain()
        await self.keyvault.rewrapping.run()

    async def rotate_keys(self) -> None:
        """Let rotation schedules of virtual keys fall due."""
        await self.keyvault.key_rotations.run_due()

    async def remind(self) -> None:
        """Tell people of provider keys that are old, unused or about to expire."""
        await self.keyvault.reminders.run()

    async def take_kept_keys(self) -> None:
        """Take the provider keys that a secrets manager keeps."""
        await self.keyvault.kept_secrets.refresh()

    async def verify_audit(self) -> None:
        """Go through the whole trail; a break is said loudly and counted, not mended."""
        broken = (await self.keyvault.audit_trail.verify()).broken_at
        self.metrics.audit_chain_intact.set(broken is None)
        if broken is not None:
            log.critical("audit_chain_broken", entry_id=broken)

    async def keep_buckets(self) -> None:
        """Make the buckets whole: at start, after each reconnect to the bus, and every so often."""
        again = asyncio.Event()

        async def reconnected() -> None:
            again.set()

        self.bus.after_reconnect(reconnected)
        while True:
            again.clear()
            wait_seconds = _RESTORE_SECONDS
            try:
                await self.restore_buckets()
            except _OUTAGES as error:
                log.warning("job_waits", job="restore_buckets", error=type(error).__name__)
                wait_seconds = _RESTORE_AFTER_FAILURE_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await again.wait()

    async def restore_buckets(self) -> None:
        """Read each bucket and tell again what it should hold and does not."""
        snapshots = self.keyvault.snapshots
        for bucket, restore in (
            (SESSIONS_BUCKET.name, snapshots.restore_sessions),
            (CREDENTIALS_BUCKET.name, snapshots.restore_credentials),
            (KEYS_BUCKET.name, snapshots.restore_keys),
        ):
            restored = await restore(await read_bucket(self.bus, bucket, digest))
            if restored:
                log.info("bucket_restored", bucket=bucket, snapshots=restored)


async def _every(seconds: float, job: str, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except _OUTAGES as error:
            log.warning("job_waits", job=job, error=type(error).__name__)
        await asyncio.sleep(seconds)
