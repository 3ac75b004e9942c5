"""Usage events: from them keyvault learns when keys and credentials were last used, and whether users' own work; and
events of what admins did elsewhere, which go into the one trail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from common.bus.consume import Handle, Received
from common.contracts.changes import AuditRecorded
from common.contracts.envelope import Envelope, read_event
from common.contracts.usage import UsageRecorded

from keyvault.domain.actors import Actor
from keyvault.domain.audit import Act
from keyvault.domain.own_credentials import Verdict
from keyvault.flows import Keyvault

_REFUSED = "provider_auth_failed"


def usage_handler(keyvault: Keyvault) -> Handle:
    """The handler of `usage.recorded`."""

    async def handle(batch: Sequence[Received]) -> None:
        key_uses: dict[str, datetime] = {}
        credential_uses: dict[str, datetime] = {}
        verdicts: dict[str, Verdict] = {}
        for received in batch:
            event = read_event(Envelope[UsageRecorded], received.body)
            _keep_latest(key_uses, event.data.api_key_id, event.time)
            _keep_latest(credential_uses, event.data.credential_id, event.time)
            for credential_id, verdict in _verdicts(event):
                if credential_id not in verdicts or verdicts[credential_id].at < verdict.at:
                    verdicts[credential_id] = verdict
        await keyvault.uses.note(key_uses, credential_uses, verdicts)

    return handle


def audit_handler(keyvault: Keyvault) -> Handle:
    """The handler of `audit.recorded`: what admins did at other services goes into the one trail."""

    async def handle(batch: Sequence[Received]) -> None:
        events = [read_event(Envelope[AuditRecorded], received.body) for received in batch]
        await keyvault.audit_trail.chain([(event.id, _act_of(event), event.data.at) for event in events])

    return handle


def _act_of(event: Envelope[AuditRecorded]) -> Act:
    told = event.data
    detail = {**told.detail, "service": event.source.strip("/")}
    return Act(Actor(told.actor, origin=told.origin), told.action, told.subject, detail)


def _verdicts(event: Envelope[UsageRecorded]) -> Iterator[tuple[str, Verdict]]:
    """What a call's attempts tell of users' own credentials: that they work, or that they were refused."""
    for attempt in event.data.attempts:
        if attempt.credential != "byok" or attempt.credential_id is None:
            continue
        if attempt.status == "completed":
            yield attempt.credential_id, Verdict(event.time, is_good=True)
        elif attempt.error is not None and attempt.error.reason == _REFUSED:
            yield attempt.credential_id, Verdict(event.time, is_good=False)


def _keep_latest(uses: dict[str, datetime], name: str | None, at: datetime) -> None:
    if name is not None and (name not in uses or uses[name] < at):
        uses[name] = at
