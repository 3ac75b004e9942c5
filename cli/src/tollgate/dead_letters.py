"""Dead letters: what consumers could not digest, as it lies in stream DLQ; listed, shown, told again.

A letter is the whole event, with where it came from and why it died in its headers. Telling it again puts it on its own
subject under an id of its own, so that the bus does not take it for a repeat; consumers that had digested it know it by
the event's id and do nothing. The letter itself stays in the stream until it is too old.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import nats.errors
from common.bus.connect import Bus
from common.contracts.envelope import CONTENT_TYPE, MESSAGE_ID_HEADER
from common.contracts.topology import DLQ
from nats.js.errors import NotFoundError

from tollgate.errors import RunnerError

_ROOT = DLQ.subjects[0].removesuffix(">")


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter: its number, who could not digest it, its event, where that stood, and why it died."""

    number: int
    service: str
    event_id: str
    subject: str
    sequence: str
    error: str
    died_at: str
    body: bytes

    def summary(self) -> dict[str, Any]:
        """All but the event itself."""
        return {name: value for name, value in asdict(self).items() if name != "body"}


async def newest(bus: Bus, service: str | None, limit: int) -> list[Letter]:
    """At most so many letters, newest first: of one service, or all."""
    state = (await bus.jetstream.stream_info(DLQ.name)).state
    found: list[Letter] = []
    for number in range(state.last_seq, max(state.first_seq, 1) - 1, -1):
        letter = await _read(bus, number)
        if letter is not None and service in (None, letter.service):
            found.append(letter)
        if len(found) == limit:
            break
    return found


async def one(bus: Bus, number: int) -> Letter:
    """One letter; RunnerError when there is none of this number."""
    letter = await _read(bus, number)
    if letter is None:
        raise RunnerError(f"there is no dead letter {number}")
    return letter


async def replay(bus: Bus, letter: Letter) -> int:
    """Tell a letter's event again; its sequence in the stream it belongs to. RunnerError when that stream will not."""
    if not letter.subject:
        raise RunnerError(f"dead letter {letter.number} does not say where it came from")
    headers = {MESSAGE_ID_HEADER: f"replay/{letter.number}/{letter.event_id}", "Content-Type": CONTENT_TYPE}
    try:
        told = await bus.jetstream.publish(letter.subject, letter.body, timeout=5.0, headers=headers)
    except (nats.errors.Error, TimeoutError) as error:
        raise RunnerError(f"dead letter {letter.number} could not be told again: {type(error).__name__}") from error
    return int(told.seq)


async def _read(bus: Bus, number: int) -> Letter | None:
    try:
        message = await bus.jetstream.get_msg(DLQ.name, number)
    except NotFoundError:
        return None
    headers = message.headers or {}
    service = (message.subject or "").removeprefix(_ROOT)
    return Letter(
        number=number,
        service=service,
        event_id=headers.get(MESSAGE_ID_HEADER, "").removeprefix(f"{service}/"),
        subject=headers.get("Tollgate-Subject", ""),
        sequence=headers.get("Tollgate-Sequence", ""),
        error=headers.get("Tollgate-Error", ""),
        died_at=message.time.isoformat() if message.time is not None else "",
        body=message.data or b"",
    )
