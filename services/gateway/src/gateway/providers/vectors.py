"""Embeddings as clients know them: what was asked, read, and answers of other wires, written in OpenAI's shape. Pure.

A client that asks for base64 gets little-endian floats of 32 bits in base64, from every provider; the official Python
client asks so always.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import msgspec
from common.usage import Usage

from gateway.providers.chat import Asked
from gateway.providers.counting import estimate_tokens
from gateway.providers.errors import untranslatable
from gateway.providers.wire import Answer, Members

_BASE64 = b'"base64"'


def wants_base64(members: Members) -> bool:
    """Whether vectors are to be told in base64."""
    return bytes(members.get("encoding_format", b"")) == _BASE64


def texts_of(asked: Asked, provider: str) -> list[str]:
    """The texts to embed. Raises ProviderFailed for tokens, which mean nothing to another maker's model."""
    asked.take("encoding_format")
    given = asked.take("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise untranslatable(f"{provider} embeds texts, not tokens", "input")
    return texts


def told(
    vectors: Sequence[Sequence[float]], members: Members, model: str, usage: Usage | None, raw: dict[str, Any] | None
) -> Answer:
    """An answer of these vectors, in the order of the texts; without a report the tokens of the texts are estimated.
    Raises ValueError for numbers that are no floats of 32 bits, where those are wanted."""
    used = usage or Usage(input_tokens=estimate_tokens(len(bytes(members["input"])), 0), estimated=True)
    say = in_base64 if wants_base64(members) else list
    listed = [{"object": "embedding", "index": index, "embedding": say(vector)} for index, vector in enumerate(vectors)]
    counts = {"prompt_tokens": used.prompt_tokens, "total_tokens": used.total_tokens}
    body = msgspec.json.encode({"object": "list", "data": listed, "model": model, "usage": counts})
    return Answer(body, used, raw, None, model, None)


def in_base64(vector: Sequence[float]) -> str:
    """A vector as little-endian floats of 32 bits, in base64. Raises ValueError for what is no such float."""
    try:
        return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (struct.error, OverflowError) as error:
        raise ValueError("a vector is floats of 32 bits") from error


def of_base64(text: str) -> list[float]:
    """The reverse. Raises ValueError."""
    packed = b64decode(text, validate=True)
    if len(packed) % 4:
        raise ValueError("floats of 32 bits are four bytes each")
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))
