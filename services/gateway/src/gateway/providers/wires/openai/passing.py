"""Operations of the `openai` wire that pass as they came: moderation, rankings, pictures, speech.

The request goes under the provider's name of the model, the answer as it is; only what it used is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from common.providers.registry import ProviderRow
from common.usage import Usage

from gateway.providers.counting import count_of, counted, details_in
from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Answer, Members, Outgoing, StreamDecoder, Verb
from gateway.providers.wires.openai.events import EventsDecoder
from gateway.providers.wires.openai.failures import NO_ERRORS, NULL, decode_error
from gateway.providers.wires.openai.requests import with_model
from gateway.providers.wires.openai.usage import decode_usage, report_in

_DOCUMENTS_A_SEARCH = 100
_USUAL_SOUND = "mp3"
_SOUNDS: Mapping[str, bytes] = MappingProxyType(
    {
        "mp3": b"audio/mpeg",
        "opus": b"audio/opus",
        "aac": b"audio/aac",
        "flac": b"audio/flac",
        "wav": b"audio/wav",
        "pcm": b"audio/pcm",
        "ogg": b"audio/ogg",
        "mulaw": b"audio/basic",
    }
)


class _Told(msgspec.Struct):
    usage: msgspec.Raw = NULL
    model: str | None = None
    error: msgspec.Raw = NULL
    results: list[msgspec.Raw] | None = None
    data: list[msgspec.Raw] | None = None


_read = msgspec.json.Decoder(_Told).decode
_Counted = Callable[[dict[str, Any] | None, _Told, Members], Usage | None]


def _passing(
    path: str, listed: str, counted: _Counted, read: Callable[[ProviderRow], StreamDecoder] | None = None
) -> Verb:
    """An operation whose answer has a list of this name, what counts its use, and what reads a stream of it."""

    def encode(members: Members, _provider: ProviderRow, model: str) -> Outgoing:
        return Outgoing(path, with_model(members, model))

    def decode(body: bytes, members: Members, provider: ProviderRow, _created: int, _model: str) -> Answer:
        try:
            told = _read(body)
            raw = report_in(told.usage)
        except (ValueError, RecursionError) as error:
            raise _no_answer(provider) from error
        if bytes(told.error) not in NO_ERRORS:
            raise decode_error(502, body, provider, None)
        if getattr(told, listed) is None:
            raise _no_answer(provider)
        return Answer(body, counted(raw, told, members), raw, None, told.model, None)

    return Verb(encode, decode, read)


def _moderated(raw: dict[str, Any] | None, _told: _Told, _members: Members) -> Usage | None:
    return decode_usage(raw) if raw is not None else None


def _ranked(raw: dict[str, Any] | None, _told: _Told, members: Members) -> Usage:
    """Some say the total alone. By the search a hundred documents count as one."""
    documents = len(msgspec.json.decode(members["documents"], type=list[msgspec.Raw]))
    counted = decode_usage({"prompt_tokens": (raw or {}).get("total_tokens"), **(raw or {})})
    read = counted.prompt_tokens if counted is not None else 0
    return Usage(input_tokens=read, units={"rerank_searches": -(-documents // _DOCUMENTS_A_SEARCH)})


def _drawn(raw: dict[str, Any] | None, told: _Told, _members: Members) -> Usage:
    """What a whole answer used."""
    return _pictured(raw, len(told.data or ()))


def _pictured(raw: Mapping[str, Any] | None, count: int) -> Usage:
    """Pictures, and their tokens where they are counted: those of pictures are units, since they have prices of their own.
    What a model puts out here is pictures, unless its report says otherwise."""
    units = {"images": count}
    if raw is None:
        return Usage(units=units)
    given, made = counted(raw, "input_tokens"), counted(raw, "output_tokens")
    seen = min(count_of(details_in(raw, "input_tokens_details").get("image_tokens")) or 0, given)
    said = min(count_of(details_in(raw, "output_tokens_details").get("text_tokens")) or 0, made)
    pictured = {"input_image_tokens": seen, "output_image_tokens": made - said}
    units.update({name: count for name, count in pictured.items() if count})
    return Usage(input_tokens=given - seen, output_tokens=said, units=units)


def _no_answer(provider: ProviderRow) -> ProviderFailed:
    return ProviderFailed("broken", f"{provider.display_name} sent an answer that is none")


def _encode_speech(members: Members, _provider: ProviderRow, model: str) -> Outgoing:
    return Outgoing("/audio/speech", with_model(members, model))


def _decode_speech(body: bytes, members: Members, provider: ProviderRow, _created: int, model: str) -> Answer:
    """A sound, which says nothing of what it used: that is estimated by whoever asked."""
    if not body:
        raise _no_answer(provider)
    named = msgspec.json.decode(members.get("response_format", NULL)) or _USUAL_SOUND
    return Answer(body, None, None, None, model, None, _SOUNDS.get(named, b"application/octet-stream"))


MODERATIONS = _passing("/moderations", "results", _moderated)
RERANK = _passing("/rerank", "results", _ranked)
IMAGES = _passing(
    "/images/generations",
    "data",
    _drawn,
    lambda provider: EventsDecoder(provider, "image_generation.completed", lambda raw: _pictured(raw, 1)),
)
SPEECH = Verb(_encode_speech, _decode_speech)
