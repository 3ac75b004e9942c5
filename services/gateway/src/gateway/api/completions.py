"""`POST /v1/completions`: a text to go on from, read and bounded; and the one word that streams of it have of their own.
Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from gateway.api.chat import ChatRequest, Name, read_json
from gateway.providers.completions import COMPLETIONS
from gateway.shapes import Refusal

_MOST = 128
_USUAL_OUTPUT_TOKENS = 16
"""What the API produces where a client does not say."""

_Tokens = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=_MOST)]


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    model: Name
    prompt: str | list[Any]
    max_tokens: _Tokens | None = None
    n: _Count | None = None
    best_of: _Count | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    drop_params: bool | None = None


_decode_body = msgspec.json.Decoder(_Body).decode


def parse_completion(body: bytes, _headers: Mapping[bytes, bytes]) -> ChatRequest:
    """Read a body; raises Refusal that names the field. Each prompt may be answered `best_of` times."""
    read, members = read_json(body, _decode_body)
    prompts = _prompts(read.prompt)
    return ChatRequest(
        members=members,
        model=read.model,
        streamed=bool(read.stream),
        wants_usage=bool(read.stream_options and read.stream_options.include_usage),
        output_tokens=_USUAL_OUTPUT_TOKENS if read.max_tokens is None else read.max_tokens,
        choices=prompts * max(read.n or 1, read.best_of or 1),
        text_bytes=len(body),
        attachments=0,
        may_drop=read.drop_params is not False,
        operation=COMPLETIONS,
        inputs=prompts,
    )


def _prompts(given: str | list[Any]) -> int:
    """How many prompts there are: a text, its tokens, or a list of either."""
    if isinstance(given, str):
        return 1
    kinds = {type(one) for one in given}
    if len(kinds) != 1 or not kinds <= {str, int, list} or (len(given) > _MOST and int not in kinds):
        raise Refusal("invalid_request", f"prompt: a text, tokens, or up to {_MOST} of either", param="prompt")
    return 1 if int in kinds else len(given)
