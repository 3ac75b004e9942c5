"""Requests of the `openai` wire: the client's own bytes, with what the gateway must set in its place."""

from __future__ import annotations

import msgspec
from common.providers.registry import MAX_TOKENS_ONLY, NO_STREAM_OPTIONS, ProviderRow

from gateway.providers.wire import Members, Outgoing

CHAT_PATH = "/chat/completions"

_OWN_MEMBERS = frozenset({"drop_params"})
_OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def encode_request(members: Members, provider: ProviderRow, model: str, output_tokens: int, streamed: bool) -> Outgoing:
    """The request to a provider: the client's members in their order, with `model`, the output maximum and (streamed)
    `stream_options.include_usage` set."""
    limit_name = "max_tokens" if MAX_TOKENS_ONLY in provider.flags else "max_completion_tokens"
    replaced: dict[str, bytes] = {"model": msgspec.json.encode(model), limit_name: b"%d" % output_tokens}
    if streamed and NO_STREAM_OPTIONS not in provider.flags:
        replaced["stream_options"] = _with_usage(members.get("stream_options"))
    left_out = {*_OWN_MEMBERS, *_OUTPUT_LIMITS, "stream_options"}
    parts = [
        b"%b:%b" % (msgspec.json.encode(name), replaced.pop(name, bytes(value)))
        for name, value in members.items()
        if name in replaced or name not in left_out
    ]
    parts += [b'"%b":%b' % (name.encode(), value) for name, value in replaced.items()]
    return Outgoing(CHAT_PATH, b"{" + b",".join(parts) + b"}")


def with_model(members: Members, model: str) -> bytes:
    """The client's own members under the provider's name of the model, for operations that pass through."""
    named = {**members, "model": msgspec.Raw(msgspec.json.encode(model))}
    parts = [
        b"%b:%b" % (msgspec.json.encode(name), bytes(value))
        for name, value in named.items()
        if name not in _OWN_MEMBERS
    ]
    return b"{" + b",".join(parts) + b"}"


def completion_body(members: Members, provider: ProviderRow, model: str, output_tokens: int, streamed: bool) -> bytes:
    """The same for completions, with the output maximum and (streamed) usage asked for."""
    named = {**members, "max_tokens": msgspec.Raw(b"%d" % output_tokens)}
    named.pop("stream_options", None)
    if streamed and NO_STREAM_OPTIONS not in provider.flags:
        named["stream_options"] = msgspec.Raw(_with_usage(members.get("stream_options")))
    return with_model(named, model)


def _with_usage(options: msgspec.Raw | None) -> bytes:
    """Stream options with usage asked for. A hold stands already, so options that cannot be read are no reason to
    fail: they are left out."""
    try:
        given = _decode_members(options) if options is not None and bytes(options) != b"null" else {}
    except (ValueError, RecursionError):
        given = {}
    return msgspec.json.encode({**given, "include_usage": True})
