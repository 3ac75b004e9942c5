"""Completions, OpenAI's old way of asking: a text goes, its continuation comes. Pure.

Who has it is asked in its own words: servers of open models complete with any of them, others with their few old models.
Everybody else is asked by chat, where the content allows: one prompt becomes what the user says. Several prompts, tokens
and suffixes have no counterpart there and are refused, so that no content is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import msgspec
from common.providers.registry import COMPLETES_WITH_ANY_MODEL, ProviderRow
from common.usage import Usage

from gateway.providers.counting import word_of
from gateway.providers.errors import ProviderFailed, untranslatable
from gateway.providers.languages import WIRES
from gateway.providers.operations import Operation
from gateway.providers.wire import Answer, Identity, Members, Outgoing, StreamDecoder, Wire
from gateway.providers.wires import openai
from gateway.providers.wires.openai.answers import finish_of
from gateway.providers.wires.openai.requests import completion_body

_OLD = re.compile(r"(^|[/:])(ada|babbage|curie|davinci|text-(ada|babbage|curie|davinci)|gpt-3\.5-turbo-instruct)")
_SAID_ALIKE = (
    "frequency_penalty",
    "logit_bias",
    "n",
    "presence_penalty",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "user",
)
_IDLE: dict[str, Any] = {"best_of": 1, "echo": False, "logprobs": 0}
"""Values that ask for what happens anyway."""
_OURS = ("model", "prompt", "max_tokens", "drop_params")


class Completions(Operation):
    """The operation. Every provider does it, one way or the other."""

    __slots__ = ()

    def is_done_by(self, provider: ProviderRow) -> bool:
        """Whether a provider does this at all."""
        return True

    def wire(self, members: Members, provider: ProviderRow) -> Wire:
        """The provider's wire, for completions."""
        return replace(
            WIRES[provider.wire],
            encode_request=_encode,
            decode_response=_decode,
            decode_stream=_decode_stream,
        )


def _has_it(provider: ProviderRow, model: str) -> bool:
    if "completion" not in provider.capabilities or provider.wire != "openai":
        return False
    return COMPLETES_WITH_ANY_MODEL in provider.flags or _OLD.search(model) is not None


def _encode(members: Members, provider: ProviderRow, model: str, output_tokens: int, streamed: bool) -> Outgoing:
    if _has_it(provider, model):
        return Outgoing("/completions", completion_body(members, provider, model, output_tokens, streamed))
    chat = {name: members[name] for name in _SAID_ALIKE if name in members}
    chat["messages"] = msgspec.Raw(msgspec.json.encode([{"role": "user", "content": _prompt(members, provider)}]))
    sent = WIRES[provider.wire].encode_request(chat, provider, model, output_tokens, streamed)
    try:
        left = tuple(_left(members))
    except (ValueError, RecursionError) as error:
        raise untranslatable("the request holds what cannot be read") from error
    return sent._replace(dropped=(*left, *sent.dropped))


def _prompt(members: Members, provider: ProviderRow) -> str:
    """The one text to go on from. Raises ProviderFailed."""
    found = msgspec.json.decode(members["prompt"])
    texts = found if isinstance(found, list) else [found]
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise untranslatable(f"{provider.display_name} is asked by chat, and takes one text a call", "prompt")
    if bytes(members.get("suffix", b"null")) not in (b"null", b'""'):
        raise untranslatable(f"{provider.display_name} is asked by chat, which knows no suffix", "suffix")
    return str(texts[0])


def _left(members: Members) -> Iterator[str]:
    """The names of what was asked for and has no counterpart in chat."""
    for name, raw in members.items():
        if name not in _SAID_ALIKE and name not in _OURS and name != "suffix":
            value = msgspec.json.decode(raw)
            if value is not None and value != _IDLE.get(name, msgspec.UNSET):
                yield name


def _decode(body: bytes, provider: ProviderRow, created: int, model: str) -> Answer:
    if _has_it(provider, model):
        return _read(body, provider)
    answer = WIRES[provider.wire].decode_response(body, provider, created, model)
    told = msgspec.json.decode(answer.body)
    told["object"], told["id"] = "text_completion", f"cmpl-{told.get('id') or ''}"
    told["choices"] = [_continued(choice, choice["message"]) for choice in told["choices"]]
    return msgspec.structs.replace(answer, body=msgspec.json.encode(told))


def _read(body: bytes, provider: ProviderRow) -> Answer:
    """An answer in the provider's own words; its finish reasons as clients know them."""
    try:
        told = msgspec.json.decode(body, type=dict[str, Any])
        if told.get("error"):
            raise openai.decode_error(502, body, provider, None)
        choices, raw = told["choices"], told.get("usage")
        for choice in choices:
            choice.update(text=str(choice["text"]), finish_reason=finish_of(choice.get("finish_reason")) or "stop")
        reason = choices[0]["finish_reason"]
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no completion") from error
    raw = raw if isinstance(raw, dict) else None
    usage = openai.decode_usage(raw) if raw is not None else None
    return Answer(msgspec.json.encode(told), usage, raw, reason, told.get("model"), word_of(told.get("service_tier")))


def _decode_stream(provider: ProviderRow, wants_usage: bool, created: int, model: str) -> StreamDecoder:
    inner = WIRES[provider.wire].decode_stream(provider, wants_usage, created, model)
    return inner if _has_it(provider, model) else _Continuation(inner)


def _continued(choice: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    text = said.get("content") or said.get("refusal") or ""
    place, reason = choice.get("index") or 0, choice.get("finish_reason")
    return {"text": text, "index": place, "logprobs": None, "finish_reason": reason}


class _Continuation:
    """A stream of chat, told as one of completions."""

    read_plain = None

    def __init__(self, inner: StreamDecoder) -> None:
        self._inner = inner
        self.is_done = False
        self.failure: ProviderFailed | None = None
        self.raw_usage: dict[str, Any] | None = None
        self.service_tier: str | None = None

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self._inner.finish_reason

    @property
    def identity(self) -> Identity:
        """What all chunks carry."""
        name, created, model = self._inner.identity
        return (f"cmpl-{name}" if name else name), created, model

    def feed(self, piece: bytes) -> bytes:
        """Events for the client."""
        return self._taken(self._inner.feed(piece))

    def finish(self) -> bytes:
        """The last events."""
        return self._taken(self._inner.finish())

    def delivered_tokens(self) -> int:
        """Output tokens seen so far, estimated."""
        return self._inner.delivered_tokens()

    def usage(self) -> Usage | None:
        """What the provider reported."""
        return self._inner.usage()

    def _taken(self, chunks: bytes) -> bytes:
        inner = self._inner
        self.is_done, self.failure = inner.is_done, inner.failure
        self.raw_usage, self.service_tier = inner.raw_usage, inner.service_tier
        return b"".join(map(_told, _events(chunks)))


def _events(chunks: bytes) -> Iterator[bytes]:
    return (event[6:] for event in chunks.split(b"\n\n") if event.startswith(b"data: "))


def _told(data: bytes) -> bytes:
    """A chunk with its text; empty where it brings neither a text nor an end."""
    chunk = msgspec.json.decode(data)
    choices = [_continued(choice, choice.get("delta") or {}) for choice in chunk.get("choices") or ()]
    choices = [choice for choice in choices if choice["text"] or choice["finish_reason"]]
    if not choices:
        return b""
    told = {**chunk, "object": "text_completion", "id": f"cmpl-{chunk.get('id') or ''}", "choices": choices}
    return b"data: " + msgspec.json.encode(told) + b"\n\n"


COMPLETIONS = Completions("completions", "completions", "completion", MappingProxyType({}))
