"""Messages relayed: where client and provider both speak this wire, the client's own members and the provider's own words
go through; only the model and the output maximum are set, and usage is read in passing.
"""

from __future__ import annotations

from typing import Any

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Answer, Members, Outgoing
from gateway.providers.wires.anthropic.blocks import finish_of
from gateway.providers.wires.anthropic.failures import failure_of
from gateway.providers.wires.anthropic.requests import MESSAGES_PATH
from gateway.providers.wires.anthropic.streams import StreamDecoder
from gateway.providers.wires.anthropic.usage import decode_usage, tier_in

_OWN_MEMBERS = frozenset({"drop_params"})


def relay_request(members: Members, provider: ProviderRow, model: str, output_tokens: int, streamed: bool) -> Outgoing:
    """The client's members in their order and their bytes, with `model` and `max_tokens` set; without `max_tokens` (0)
    where tokens are only counted."""
    ours = {"model": msgspec.json.encode(model)}
    if output_tokens:
        ours["max_tokens"] = b"%d" % output_tokens
    told = {name: ours.get(name, bytes(value)) for name, value in members.items() if name not in _OWN_MEMBERS}
    parts = [b"%b:%b" % (msgspec.json.encode(name), value) for name, value in {**told, **ours}.items()]
    return Outgoing(MESSAGES_PATH, b"{" + b",".join(parts) + b"}")


def relay_response(body: bytes, provider: ProviderRow, created: int, model: str) -> Answer:
    """A 200 answer as it came, and what it says of itself. Raises ProviderFailed for what is none."""
    try:
        told = msgspec.json.decode(body)
        if isinstance(told.get("error"), dict):
            raise failure_of(told["error"], provider)
        raw = told.get("usage") if isinstance(told.get("usage"), dict) else None
        usage = decode_usage(raw) if raw is not None else None
        return Answer(body, usage, raw, finish_of(told["stop_reason"]), told.get("model"), tier_in(raw))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no message") from error


class RelayDecoder(StreamDecoder):
    """Hands on events as they came. The beginning waits for what follows it: overload is often told right after, and
    another deployment may answer then; the end waits until the call's event is safe."""

    def __init__(self, provider: ProviderRow, wants_usage: bool, created: int, model: str) -> None:
        super().__init__(provider, wants_usage, created, model)
        self._waiting = b""

    def take_event(self, name: bytes, data: bytes) -> bytes:
        """The event itself, but for the last."""
        told: Any = msgspec.json.decode(data)
        self.read_event(name, told)
        if self.is_done:
            return b""
        lines = b"".join(b"data: " + line + b"\n" for line in data.split(b"\n"))
        event = (b"event: " + name + b"\n" if name else b"") + lines + b"\n"
        if told.get("type") in ("message_start", "ping") and not self.pieces and self.finished is None:
            self._waiting += event
            return b""
        waited, self._waiting = self._waiting, b""
        return waited + event
