"""Responses relayed: where client and provider both speak this wire, the client's own members and the provider's own words
go through; only the model and the output maximum are set, and usage is read in passing.
"""

from __future__ import annotations

from typing import Any

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Answer, Members, Outgoing
from gateway.providers.wires.responses.answers import has_calls, response_in
from gateway.providers.wires.responses.items import KEEPSAKE, finish_of, tier_of
from gateway.providers.wires.responses.requests import RESPONSES_PATH
from gateway.providers.wires.responses.streams import StreamDecoder
from gateway.providers.wires.responses.usage import usage_of

_OWN_MEMBERS = frozenset({"drop_params"})
_BEGINNINGS = frozenset({"response.created", "response.queued", "response.in_progress"})


def relay_request(members: Members, provider: ProviderRow, model: str, output_tokens: int, streamed: bool) -> Outgoing:
    """The client's members in their order and their bytes, with `model` and `max_output_tokens` set; without the latter
    (0) where tokens are only counted."""
    ours = {"model": msgspec.json.encode(model)}
    if output_tokens:
        ours["max_output_tokens"] = b"%d" % output_tokens
    if KEEPSAKE.encode() in bytes(members.get("input", b"")):
        ours["input"] = _without_keepsakes(members["input"])
    told = {name: ours.get(name, bytes(value)) for name, value in members.items() if name not in _OWN_MEMBERS}
    parts = [b"%b:%b" % (msgspec.json.encode(name), value) for name, value in {**told, **ours}.items()]
    return Outgoing(RESPONSES_PATH, b"{" + b",".join(parts) + b"}")


def relay_response(body: bytes, provider: ProviderRow, created: int, model: str) -> Answer:
    """A 200 answer as it came, and what it says of itself. Raises ProviderFailed for what is none."""
    try:
        told = response_in(body, provider)
        usage, raw = usage_of(told)
        finish = finish_of(told, has_calls=has_calls(told["output"]))
        return Answer(body, usage, raw, finish, told.get("model"), tier_of(told))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no response") from error


def _without_keepsakes(given: msgspec.Raw) -> bytes:
    """The input without another provider's thoughts, which came from this gateway."""
    try:
        items = [
            (bytes(item), msgspec.json.decode(item)) for item in msgspec.json.decode(given, type=list[msgspec.Raw])
        ]
        kept = [raw for raw, told in items if not str(told.get("encrypted_content") or "").startswith(KEEPSAKE)]
    except (ValueError, RecursionError, AttributeError):
        return bytes(given)
    return b"[" + b",".join(kept) + b"]"


class RelayDecoder(StreamDecoder):
    """Hands on events as they came. The beginning waits for what follows it, since another deployment may answer when
    this one fails at once; that the last event waits for the call's own is the voice's to see to."""

    def __init__(self, provider: ProviderRow, wants_usage: bool, created: int, model: str) -> None:
        super().__init__(provider, wants_usage, created, model)
        self._waiting = b""

    def take_event(self, name: bytes, data: bytes) -> bytes:
        """The event itself."""
        told: Any = msgspec.json.decode(data)
        self.read_event(name, told)
        lines = b"".join(b"data: " + line + b"\n" for line in data.split(b"\n"))
        # Named by its type, whatever the line above it says: by that name the voice knows the last one.
        kind: str = told["type"]
        event = b"event: " + kind.encode() + b"\n" + lines + b"\n"
        if told.get("type") in _BEGINNINGS:
            self._waiting += event
            return b""
        waited, self._waiting = self._waiting, b""
        return waited + event
