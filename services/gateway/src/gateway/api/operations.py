"""The doors beside chat: which path asks for which operation, and how its body is read. Pure.

Each reader also says the most that its call can use, in tokens and in units, and what it likely uses where no provider
will say: both before anybody is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from common.usage import Usage

from gateway.api.chat import ChatRequest, Name, one_answer, read_json
from gateway.api.completions import parse_completion
from gateway.api.embeddings import parse_embeddings
from gateway.api.events import CompletionVoice, EventsVoice
from gateway.api.sizes import ABSENT
from gateway.api.sounds import parse_transcription, parse_translation
from gateway.providers.completions import COMPLETIONS
from gateway.providers.counting import MOST_PICTURE_TOKENS, estimate_tokens
from gateway.providers.operations import IMAGES, MODERATIONS, RERANK, SPEECH
from gateway.shapes import Refusal

Headers = Mapping[bytes, bytes]

_MOST_DOCUMENTS = 10_000
_DOCUMENTS_A_SEARCH = 100
_BYTES_A_PART = 500
"""A search is a query and up to a hundred parts of documents; a part has 500 tokens, and no fewer bytes."""
_MOST_IMAGES = 128
_LIKELY_PICTURE_TOKENS = 1_056
"""What OpenAI makes of one of usual size and quality; others are near it."""
_SPOKEN_TOKENS_A_CHARACTER = 8
"""More than the slowest speech has; usual are three tokens to two characters."""


class _Looked(msgspec.Struct):
    """A text or a picture of several."""

    image_url: msgspec.Raw = ABSENT


class _Moderation(msgspec.Struct):
    input: str | list[str | _Looked]
    model: Name = "omni-moderation-latest"


class _Ranking(msgspec.Struct):
    model: Name
    query: Annotated[str, msgspec.Meta(min_length=1)]
    documents: Annotated[list[str | dict[str, Any]], msgspec.Meta(min_length=1, max_length=_MOST_DOCUMENTS)]
    top_n: Annotated[int, msgspec.Meta(ge=1)] | None = None
    drop_params: bool | None = None


class _Picture(msgspec.Struct):
    model: Name
    prompt: Annotated[str, msgspec.Meta(min_length=1)]
    n: Annotated[int, msgspec.Meta(ge=1, le=_MOST_IMAGES)] | None = None
    stream: bool | None = None
    drop_params: bool | None = None


class _Spoken(msgspec.Struct):
    model: Name
    input: Annotated[str, msgspec.Meta(min_length=1)]
    response_format: str | None = None
    stream_format: Literal["audio"] | None = None
    drop_params: bool | None = None


_decode_moderation = msgspec.json.Decoder(_Moderation).decode
_decode_ranking = msgspec.json.Decoder(_Ranking).decode
_decode_picture = msgspec.json.Decoder(_Picture).decode
_decode_spoken = msgspec.json.Decoder(_Spoken).decode


def _moderation(body: bytes, _headers: Headers) -> ChatRequest:
    read, members = read_json(body, _decode_moderation)
    inputs = read.input if isinstance(read.input, list) else [read.input]
    pictures = [len(picture) for one in inputs if isinstance(one, _Looked) and (picture := bytes(one.image_url))]
    size = len(body) - sum(pictures)
    return one_answer(MODERATIONS, members, read.model, size, attachments=len(pictures), inputs=max(1, len(inputs)))


def _ranking(body: bytes, _headers: Headers) -> ChatRequest:
    """Models that are paid by the token read the query once for every document."""
    read, members = read_json(body, _decode_ranking)
    query, count = len(read.query.encode()), len(read.documents)
    sizes = [len(one.encode()) if isinstance(one, str) else len(msgspec.json.encode(one)) for one in read.documents]
    parts = sum(1 + (size + query) // _BYTES_A_PART for size in sizes)
    units = {"rerank_searches": -(-parts // _DOCUMENTS_A_SEARCH)}
    size = sum(sizes) + count * (query + 16)
    may_drop = read.drop_params is not False
    return one_answer(RERANK, members, read.model, size, units=units, inputs=count, may_drop=may_drop)


def _picture(body: bytes, _headers: Headers) -> ChatRequest:
    read, members = read_json(body, _decode_picture)
    if read.stream and (read.n or 1) > 1:
        raise Refusal("invalid_request", "n: pictures that are streamed come one a call", param="n")
    count, size = read.n or 1, len(read.prompt.encode())
    units = {"images": count, "output_image_tokens": count * MOST_PICTURE_TOKENS}
    drawn = {"images": count, "output_image_tokens": count * _LIKELY_PICTURE_TOKENS}
    likely = Usage(input_tokens=estimate_tokens(size, 0), units=drawn, estimated=True)
    may_drop = read.drop_params is not False
    streamed = bool(read.stream)
    return one_answer(
        IMAGES, members, read.model, size, units=units, likely=likely, may_drop=may_drop, streamed=streamed
    )


def _spoken(body: bytes, _headers: Headers) -> ChatRequest:
    read, members = read_json(body, _decode_spoken)
    size, characters = len(body), len(read.input)
    likely = Usage(
        input_tokens=estimate_tokens(len(read.input.encode()), 0),
        audio_output_tokens=characters * 3 // 2,
        units={"input_characters": characters},
        estimated=True,
    )
    most = 256 + characters * _SPOKEN_TOKENS_A_CHARACTER
    units = {"input_characters": characters}
    return one_answer(
        SPEECH,
        members,
        read.model,
        size,
        units=units,
        output_tokens=most,
        likely=likely,
        may_drop=read.drop_params is not False,
    )


OPERATIONS: Mapping[str, Callable[[bytes, Headers], ChatRequest]] = MappingProxyType(
    {
        "/completions": parse_completion,
        "/embeddings": parse_embeddings,
        "/moderations": _moderation,
        "/rerank": _ranking,
        "/images/generations": _picture,
        "/audio/speech": _spoken,
        "/audio/transcriptions": parse_transcription,
        "/audio/translations": parse_translation,
    }
)
"""What follows the version in a path, and what reads a body that is sent there (it raises Refusal)."""


def voice_of(request: ChatRequest) -> CompletionVoice | EventsVoice:
    """How a stream of an operation is said."""
    return CompletionVoice() if request.operation is COMPLETIONS else EventsVoice()
