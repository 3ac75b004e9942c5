"""One call of a provider, from its request to its record: who may call, what is answered, what goes wrong on order.

The order is the promise: the call's start is durable before the first byte of the response leaves, and its end is
durable before the last byte of a complete answer does. Nothing here knows a wire's shapes.
"""

from __future__ import annotations

import itertools
import secrets
import time
from datetime import UTC, datetime

import msgspec

from simulator.answers import Answer, Writer
from simulator.connection import Connection
from simulator.faults import NO_FAULTS, DirectiveError, Directives, FaultRules, checked, directives_in
from simulator.gates import LONGEST_HOLD_SECONDS, Gates
from simulator.journal import Journal
from simulator.keys import Keys
from simulator.playback import Playback
from simulator.prepared import Prepared, PreparedRequests
from simulator.prompts import Prompt
from simulator.recordings import Recorded, Recordings
from simulator.records import CallRecord, CallRecords
from simulator.refusals import Refusal
from simulator.streams import Ending, planned, recut
from simulator.wires import JSON, Headers, Wire

NO_CACHE = (b"cache-control", b"no-cache")
HTML = b"<!DOCTYPE html><html><head><title>Gateway</title></head><body><h1>Please sign in</h1></body></html>"
NOT_ANSWERED = 0
MOST_TOKENS = 200_000
MISSING_MODEL = "gpt-99-missing"


class Calls:
    """Answers calls; holds what they have in common."""

    def __init__(
        self,
        writer: Writer,
        journal: Journal,
        records: CallRecords,
        rules: FaultRules,
        keys: Keys,
        recordings: Recordings,
        gates: Gates,
        *,
        coalesces: bool,
    ) -> None:
        self._writer = writer
        self._journal = journal
        self._records = records
        self._rules = rules
        self._keys = keys
        self._recordings = recordings
        self._gates = gates
        self._coalesces = coalesces
        self._prepared = PreparedRequests()
        self._process = secrets.token_hex(5)
        self._numbers = itertools.count(1)
        self._encode = msgspec.json.Encoder().encode

    async def answer(self, wire: Wire, connection: Connection) -> None:
        """Takes one call from its request to its end, and records it whatever its end."""
        began = time.monotonic()
        headers = dict(connection.headers)
        request_id = headers.get(b"x-client-request-id")
        record = CallRecord(
            call_id=f"req_{self._process}{next(self._numbers):010x}",
            at=datetime.now(UTC),
            provider=wire.provider,
            client_request_id=None if request_id is None else request_id.decode("latin-1"),
        )
        self._records.started(record)
        try:
            await self._answer(wire, connection, record, headers, began)
        finally:
            if record.phase == "started":
                record.disconnected = record.disconnected or connection.is_gone
                self._end(record)
        await connection.leave()

    async def _answer(
        self, wire: Wire, connection: Connection, record: CallRecord, headers: dict[bytes, bytes], began: float
    ) -> None:
        prepared, refusal = None, None
        try:
            body = await connection.read_body()
            self._keys.check(wire.key(headers), is_needed=wire.needs_key)
            if (recorded := self._recordings.find(wire.provider, connection.path, body)) is not None:
                await self._repeat(wire, connection, record, recorded)
                return
            prepared = self._understood(wire, body)
            record.model, record.streamed = prepared.prompt.model, prepared.prompt.is_streamed
            refusal = _ordered_refusal(wire, prepared.prompt, prepared.directives)
        except Refusal as refused:
            refusal = refused
        if self._journal.is_kept:
            self._journal.append(self._encode(record))
        directives = NO_FAULTS if prepared is None else prepared.directives
        if directives.held is not None:
            await connection.wait_for(self._gates.gate(directives.held), LONGEST_HOLD_SECONDS)
        if directives.first_byte_ms:
            await connection.wait(directives.first_byte_ms / 1000)
        if connection.is_gone or directives.drop:
            record.status, record.disconnected = NOT_ANSWERED, connection.is_gone
            self._end(record)
            await connection.drop()
            return
        told = wire.headers(record.call_id, int((time.monotonic() - began) * 1000))
        if prepared is None or refusal is not None:
            await self._refuse(wire, connection, record, refusal or Refusal(400), told)
        elif directives.html:
            self._end(record)
            await self._safe()
            await connection.whole(200, told, b"text/html; charset=utf-8", HTML)
        else:
            is_new = prepared.answer is None
            answer = self._write(wire, connection, prepared)
            if is_new and wire.kept_as:
                self._prepared.keep(wire.kept_as, body, prepared)
            record.prompt_tokens, record.cached_tokens = answer.prompt_tokens, answer.cached_tokens
            if prepared.plan is None:
                await self._send_whole(connection, record, prepared, answer, told, wire.whole_type)
            else:
                head = [(b"content-type", wire.stream_type), NO_CACHE, *told]
                await self._send_stream(connection, record, prepared, answer, head)

    async def _repeat(self, wire: Wire, connection: Connection, record: CallRecord, recorded: Recorded) -> None:
        """Answers as a provider once did."""
        record.status, record.complete = recorded.status, True
        if self._journal.is_kept:
            self._journal.append(self._encode(record))
        self._end(record)
        await self._safe()
        await connection.whole(recorded.status, wire.headers(record.call_id, 1), recorded.content_type, recorded.body)

    def _understood(self, wire: Wire, body: bytes) -> Prepared:
        """The request, and how to answer it: by the caller's own directives over a standing rule's."""
        prepared = self._prepared.get(wire.kept_as, body)
        try:
            if prepared is None:
                prompt = wire.prompt(body)
                prepared = Prepared(prompt, _bounded(prompt, checked(directives_in(prompt.question))))
            ruled = self._rules.take(wire.provider, prepared.prompt.model)
            if ruled:
                own = directives_in(prepared.prompt.question)
                ordered = _bounded(prepared.prompt, checked({**ruled, **own}))
                return Prepared(prepared.prompt, ordered, is_ruled=True)
        except DirectiveError as error:
            raise Refusal(400, str(error), kind="invalid_request_error", code="unknown_directive") from None
        return prepared

    def _write(self, wire: Wire, connection: Connection, prepared: Prepared) -> Answer:
        """The answer; afterwards it stands written, for this second, in `prepared`."""
        prompt, directives = prepared.prompt, prepared.directives
        if prepared.answer is None:
            prepared.answer = self._writer.answer(prompt, directives, _header_names(directives, connection))
        created = int(time.time())
        if prepared.created != created:
            model = directives.served_model or prompt.model
            if prompt.is_streamed:
                script = wire.script(prepared.answer, model, created, prompt.wants_usage, directives)
                prepared.plan = planned(script, directives)
            else:
                prepared.body = wire.whole(prepared.answer, model, created, directives)
            prepared.created = created
        return prepared.answer

    async def _refuse(
        self, wire: Wire, connection: Connection, record: CallRecord, refusal: Refusal, headers: Headers
    ) -> None:
        record.status, body = wire.refusal(refusal)
        self._end(record)
        await self._safe()
        await connection.whole(record.status, wire.refusal_headers(headers, refusal), JSON, body)

    async def _send_whole(
        self,
        connection: Connection,
        record: CallRecord,
        prepared: Prepared,
        answer: Answer,
        headers: Headers,
        content_type: bytes,
    ) -> None:
        body, directives = prepared.body, prepared.directives
        if directives.malformed_at is not None:
            body = body[: len(body) // 2]
        stops = [stop for stop in (directives.cut_after, directives.stall_after) if stop is not None]
        record.complete = not stops and directives.malformed_at is None
        record.completion_tokens, record.reasoning_tokens = answer.completion_tokens, answer.reasoning_tokens
        record.reported_usage = record.complete and not directives.no_usage
        if not stops and directives.split_bytes is None:
            self._end(record)
            await self._safe()
            await connection.whole(200, headers, content_type, body)
            return
        await self._safe()
        await connection.start(200, [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *headers])
        for piece in recut([body[: min(stops)] if stops else body], directives.split_bytes or len(body)):
            await connection.write(piece)
        await self._finish(connection, record, _ending(directives), b"", directives)

    async def _send_stream(
        self, connection: Connection, record: CallRecord, prepared: Prepared, answer: Answer, headers: Headers
    ) -> None:
        plan, directives = prepared.plan, prepared.directives
        assert plan is not None, "only a written stream is sent"
        await self._safe()
        playback = Playback(plan, directives, coalesces=self._coalesces)
        try:
            await connection.start(200, headers)
            await playback.run(connection)
        finally:
            sent = playback.sent
            record.sent_chunks = sent
            record.completion_tokens = sum(plan.tokens[:sent])
            record.reasoning_tokens = min(answer.reasoning_tokens, record.completion_tokens)
            record.reported_usage = plan.usage_at is not None and sent > plan.usage_at
        record.complete = plan.is_whole and not connection.is_gone
        await self._finish(connection, record, plan.ending, plan.done, directives)

    async def _finish(
        self, connection: Connection, record: CallRecord, ending: Ending, done: bytes, directives: Directives
    ) -> None:
        """Ends the response as planned; the call's end is on disk before a complete answer's last byte leaves."""
        if connection.is_gone:
            return
        if ending is Ending.STALL:
            await connection.wait(directives.stall_ms / 1000)
            record.disconnected = connection.is_gone
        self._end(record)
        await self._safe()
        if ending not in (Ending.CUT, Ending.STALL):
            await connection.finish(done if ending is Ending.DONE else b"")

    def _end(self, record: CallRecord) -> None:
        record.phase = "ended"
        self._records.ended(record)
        if self._journal.is_kept:
            self._journal.append(self._encode(record))

    async def _safe(self) -> None:
        if self._journal.is_kept:
            await self._journal.durable()


def _ordered_refusal(wire: Wire, prompt: Prompt, directives: Directives) -> Refusal | None:
    """The refusal that the caller or a rule ordered, or that an unknown model earns."""
    if prompt.model in (MISSING_MODEL, directives.missing_model):
        return wire.missing(prompt.model)
    # With error_at the status tells what the error in the middle of the stream is to say.
    if directives.status is None or (directives.error_at is not None and prompt.is_streamed):
        return None
    return Refusal(
        directives.status, kind=directives.error_type, code=directives.code, retry_after=directives.retry_after
    )


def _bounded(prompt: Prompt, directives: Directives) -> Directives:
    """The directives, unless they order more chunks than one process should hold. Raises DirectiveError."""
    if ((directives.tokens or 0) + directives.reasoning_tokens) * prompt.choices > MOST_TOKENS:
        raise DirectiveError(f"simulate: tokens and reasoning_tokens may be {MOST_TOKENS} over all choices")
    return directives


def _ending(directives: Directives) -> Ending:
    if directives.cut_after is not None:
        return Ending.CUT
    return Ending.STALL if directives.stall_after is not None else Ending.DONE


def _header_names(directives: Directives, connection: Connection) -> list[str]:
    return sorted({name.decode("latin-1") for name, _ in connection.headers}) if directives.echo else []
