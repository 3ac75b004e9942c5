"""One log line a call, written after the answer.

A general logging call costs tens of microseconds; this one encodes a dictionary and hands the lines of one turn of the
loop to standard output together. Never a body, a prompt or a secret: the fields are these and no others.
"""

from __future__ import annotations

import asyncio
import sys
from typing import BinaryIO

import msgspec
import structlog
from common.clock import rfc3339
from common.money import plain

from gateway.metering import AttemptLog, CallLog

log = structlog.get_logger()

_MOST_WAITING = 10_000


class CallLogWriter:
    """Writes call lines to a stream (standard output)."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdout.buffer
        self._lines: list[bytes] = []
        self.dropped = 0
        self.overruns = 0

    def write(self, call: CallLog, attempt: AttemptLog, status: int, milliseconds: int) -> None:
        """Write the line of one call, soon; and one more when it cost more than was held for it."""
        if attempt.overrun:
            self.overruns += 1
            log.error("cost_beyond_the_hold", request_id=call.request_id, overrun_usd=plain(attempt.overrun))
        if len(self._lines) >= _MOST_WAITING:
            self.dropped += 1
            return
        if not self._lines:
            asyncio.get_running_loop().call_later(0.05, self.flush)
        self._lines.append(
            msgspec.json.encode(
                {
                    "event": "call",
                    "level": "info",
                    "service": "gateway",
                    "timestamp": rfc3339(call.started_at),
                    "request_id": call.request_id,
                    "trace_id": call.trace_id,
                    "api_key_id": call.api_key_id,
                    "model": call.requested_model,
                    "provider": attempt.provider_type,
                    "streamed": call.streamed,
                    "outcome": call.status,
                    "status": status,
                    "tokens": attempt.usage.total_tokens if attempt.usage else 0,
                    "cost_usd": plain(attempt.cost),
                    "ms": milliseconds,
                    "ttft_ms": call.ttft_ms,
                }
            )
        )

    def flush(self) -> None:
        """Write what waits."""
        if self._lines:
            self._stream.write(b"\n".join(self._lines) + b"\n")
            self._stream.flush()
            self._lines.clear()
