"""Answers of the `gemini` wire, whole and streamed: both are read by `parts.Reader`."""

from __future__ import annotations

from typing import Any

import msgspec
from common.providers.registry import ProviderRow
from common.usage import Usage

from gateway.providers.chat import ChatStream, completion, message_of
from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Answer
from gateway.providers.wires.gemini.failures import failure_of
from gateway.providers.wires.gemini.parts import Reader, logprobs_of
from gateway.providers.wires.gemini.usage import decode_usage


def decode_response(body: bytes, provider: ProviderRow, created: int, model: str) -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is no answer, or an error in one's place."""
    try:
        return _read(msgspec.json.decode(body), provider, created, model)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that cannot be read") from error


def _read(told: dict[str, Any], provider: ProviderRow, created: int, model: str) -> Answer:
    if isinstance(told.get("error"), dict):
        raise failure_of(told["error"], provider)
    reader = Reader()
    message = message_of(reader.deltas(told))
    if reader.finished is None:
        raise ProviderFailed("broken", f"{provider.display_name} sent an incomplete answer")
    raw = told.get("usageMetadata")
    raw = raw if isinstance(raw, dict) else None
    return completion(
        (reader.answer_id, created, told.get("modelVersion") or model),
        message,
        reader.finished,
        decode_usage(raw) if raw is not None else None,
        raw,
        _tier(raw),
        logprobs_of(told),
    )


class StreamDecoder(ChatStream):
    """Reads one stream. Why it ended is kept back until its end: signatures may still follow."""

    def __init__(self, provider: ProviderRow, wants_usage: bool, created: int, model: str) -> None:
        super().__init__(provider.display_name, created, model, wants_usage=wants_usage)
        self._row = provider
        self._reader = Reader()

    def usage(self) -> Usage | None:
        """What the provider reported last; its reports are running sums."""
        return decode_usage(self.raw_usage) if self.raw_usage is not None else None

    def read_event(self, name: bytes, told: Any) -> bytes:
        """The chunks for one of the provider's."""
        if isinstance(told.get("error"), dict):
            raise failure_of(told["error"], self._row)
        raw = told.get("usageMetadata")
        if isinstance(raw, dict):
            self.raw_usage, self.service_tier = raw, _tier(raw) or self.service_tier
        deltas = self._reader.deltas(told)
        self.answer_id = self.answer_id or self._reader.answer_id
        self.model = told.get("modelVersion") or self.model
        self.finished = self._reader.finished
        for delta in deltas:
            self._count(delta)
        probabilities = logprobs_of(told)
        chunks = [self.chunk(delta, logprobs=None if place else probabilities) for place, delta in enumerate(deltas)]
        return b"".join(chunks)

    def closing(self) -> bytes:
        """The chunk that says why the answer ended."""
        return self.chunk({}, self.finished)

    def _count(self, delta: dict[str, Any]) -> None:
        self.count(delta.get("content") or delta.get("reasoning_content") or "")
        for call in delta.get("tool_calls") or ():
            self.count(call["function"]["name"] + call["function"]["arguments"])


def _tier(raw: dict[str, Any] | None) -> str | None:
    tier = (raw or {}).get("serviceTier")
    return tier.lower() if isinstance(tier, str) else None
