"""Streams of the `responses` wire: named events about numbered items, as chunks of a chat completion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from common.providers.registry import ProviderRow
from common.usage import Usage

from gateway.providers.chat import ChatStream
from gateway.providers.wires.responses.failures import failure_of
from gateway.providers.wires.responses.items import (
    BETWEEN,
    call_of,
    closing,
    finish_of,
    logprobs_in,
    spoken,
    text_in,
    tier_of,
)
from gateway.providers.wires.responses.usage import usage_of

_CALLS = ("function_call", "custom_tool_call")


class StreamDecoder(ChatStream):
    """Reads one stream; what has been shown of each item is its state."""

    def __init__(self, provider: ProviderRow, wants_usage: bool, created: int, model: str) -> None:
        super().__init__(provider.display_name, created, model, wants_usage=wants_usage)
        self._row = provider
        self._numbers: dict[int, int] = {}
        self._shown: set[int] = set()
        self._text = 0
        self._used: Usage | None = None

    def usage(self) -> Usage | None:
        """What the provider reported, which it does at the end alone."""
        return self._used

    def read_event(self, name: bytes, told: Any) -> bytes:
        """The chunks for one event; those that repeat what others brought are passed over."""
        read = _EVENTS.get(told.get("type"))
        return read(self, told) if read is not None else b""

    def began(self, told: dict[str, Any]) -> bytes:
        """The beginning: nothing is shown yet, since another may still answer when this one fails at once."""
        response = told["response"]
        self.answer_id, self.model = response.get("id") or "", response.get("model") or self.model
        self.created = int(response.get("created_at") or self.created)
        return b""

    def item_added(self, told: dict[str, Any]) -> bytes:
        """A further item: a call is shown at once."""
        item = told["item"]
        if item.get("type") not in _CALLS:
            return b""
        number = self._numbers[told["output_index"]] = len(self._numbers)
        self.count(item["name"])
        return self.chunk({"tool_calls": [call_of({**item, "arguments": "", "input": ""}, number)]})

    def written(self, told: dict[str, Any]) -> bytes:
        """More of a text."""
        return self._say(told, "content")

    def refused(self, told: dict[str, Any]) -> bytes:
        """More of a refusal."""
        return self._say(told, "refusal")

    def thought(self, told: dict[str, Any]) -> bytes:
        """More of what is thought."""
        return self._say(told, "reasoning_content")

    def thought_on(self, told: dict[str, Any]) -> bytes:
        """A further part of a summary."""
        return self.chunk({"reasoning_content": BETWEEN}) if told.get("summary_index") else b""

    def argued(self, told: dict[str, Any]) -> bytes:
        """More of a call's arguments."""
        is_custom = told["type"] == "response.custom_tool_call_input.delta"
        return self._argue(told["output_index"], told.get("delta") or "", is_custom=is_custom)

    def item_done(self, told: dict[str, Any]) -> bytes:
        """What could only be said at an item's end; of an item that did not come in pieces, all of it."""
        item, place = told["item"], told["output_index"]
        said = self._whole(item, told) if place not in self._shown else b""
        told_more = closing(item, self._text)
        self._text += len(text_in(item, "output_text", "text"))
        return said + (self.chunk(told_more) if told_more else b"")

    def _say(self, told: dict[str, Any], member: str) -> bytes:
        place, piece = told["output_index"], told.get("delta") or ""
        if not piece:
            return b""
        self._show(place, piece)
        return self._told({member: piece}, told.get("logprobs"))

    def _argue(self, place: int, piece: str, *, is_custom: bool) -> bytes:
        if not piece or place not in self._numbers:
            return b""
        self._show(place, piece)
        grown = {"custom": {"input": piece}} if is_custom else {"function": {"arguments": piece}}
        return self.chunk({"tool_calls": [{"index": self._numbers[place], **grown}]})

    def _whole(self, item: dict[str, Any], told: dict[str, Any]) -> bytes:
        place = told["output_index"]
        if item.get("type") in _CALLS:
            begun = self.item_added(told) if place not in self._numbers else b""
            is_custom = item["type"] == "custom_tool_call"
            given = item.get("input") if is_custom else item.get("arguments") or "{}"
            return begun + self._argue(place, given or "", is_custom=is_custom)
        delta = {name: value for name, value in spoken(item, 0).items() if value}
        for value in delta.values():
            self._show(place, value)
        return self._told(delta, logprobs_in(item)) if delta else b""

    def _show(self, place: int, piece: str) -> None:
        """Take note of what is shown of an item."""
        self.count(piece)
        self._shown.add(place)

    def _told(self, delta: dict[str, Any], logprobs: Any) -> bytes:
        return self.chunk(delta, logprobs={"content": logprobs, "refusal": None} if logprobs else None)

    def ended(self, told: dict[str, Any]) -> bytes:
        """The whole response, with its usage."""
        response = told["response"]
        self._used, self.raw_usage = usage_of(response)
        self.service_tier = tier_of(response)
        self.finished = finish_of(response, has_calls=bool(self._numbers))
        self.is_done = True
        return self.chunk({}, self.finished)

    def failed(self, told: dict[str, Any]) -> bytes:
        """The response failed. Raises ProviderFailed."""
        response = told.get("response") or {}
        self._used, self.raw_usage = usage_of(response)
        raise failure_of(response.get("error") or told.get("error") or told, self._row)


_EVENTS: Mapping[Any, Callable[[StreamDecoder, dict[str, Any]], bytes]] = MappingProxyType(
    {
        "response.created": StreamDecoder.began,
        "response.output_item.added": StreamDecoder.item_added,
        "response.output_text.delta": StreamDecoder.written,
        "response.refusal.delta": StreamDecoder.refused,
        "response.reasoning_summary_text.delta": StreamDecoder.thought,
        "response.reasoning_text.delta": StreamDecoder.thought,
        "response.reasoning_summary_part.added": StreamDecoder.thought_on,
        "response.function_call_arguments.delta": StreamDecoder.argued,
        "response.custom_tool_call_input.delta": StreamDecoder.argued,
        "response.output_item.done": StreamDecoder.item_done,
        "response.completed": StreamDecoder.ended,
        "response.incomplete": StreamDecoder.ended,
        "response.failed": StreamDecoder.failed,
        "error": StreamDecoder.failed,
    }
)
