"""`POST /v1/embeddings`: what a client asks for, read and bounded. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from gateway.api.chat import ChatRequest, Name, one_answer, read_json
from gateway.providers.operations import EMBEDDINGS
from gateway.shapes import Refusal

_MOST_INPUTS = 2048


class _Body(msgspec.Struct):
    model: Name
    input: Annotated[str, msgspec.Meta(min_length=1)] | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    drop_params: bool | None = None


_decode_body = msgspec.json.Decoder(_Body).decode


def parse_embeddings(body: bytes, _headers: Mapping[bytes, bytes]) -> ChatRequest:
    """Read a body; raises Refusal that names the field. A token is at least a byte of a text, or a number of its own."""
    read, members = read_json(body, _decode_body)
    inputs, size = _inputs(read.input), len(bytes(members["input"]))
    return one_answer(EMBEDDINGS, members, read.model, size, inputs=inputs, may_drop=read.drop_params is not False)


def _inputs(given: str | list[str | int | list[int]]) -> int:
    """How many texts there are: one text, one text in tokens, or a list of either."""
    if isinstance(given, str):
        return 1
    kinds = {type(one) for one in given}
    if len(kinds) != 1 or "" in given or [] in given:
        raise Refusal("invalid_request", "input: a text, texts, tokens or lists of tokens, none empty", param="input")
    if len(given) > _MOST_INPUTS and int not in kinds:
        raise Refusal("invalid_request", f"input: at most {_MOST_INPUTS} texts a call", param="input")
    return 1 if int in kinds else len(given)
