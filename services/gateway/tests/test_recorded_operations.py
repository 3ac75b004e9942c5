"""What providers really answered beside chat: all of it is read and counted, or refused for a reason."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from common.providers.registry import PROVIDERS
from common.usage import TOKEN_BUCKETS, Usage
from gateway.providers.languages import WIRES
from gateway.providers.operations import EMBEDDINGS
from gateway.providers.vectors import in_base64, of_base64
from gateway.providers.wires import anthropic, responses
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse
from recordings import found

_EMBEDS = ("/embeddings", "/v2/embed", ":batchEmbedContents", "/invoke")
_COUNTS = (":countTokens", "/count_tokens", "/compact", "/input_tokens")
_BY_HAND: list[dict[str, Any]] = [
    {"id": "openai by hand", "provider": "openai", "path": "/v1/embeddings", "status": 200,
     "response": {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
                  "usage": {"prompt_tokens": 4, "total_tokens": 4}}},
    {"id": "cohere by hand", "provider": "cohere", "path": "/v2/embed", "status": 200,
     "response": {"id": "1", "embeddings": {"float": [[0.5], [1.5]]}, "meta": {"billed_units": {"input_tokens": 4}}}},
    {"id": "google by hand", "provider": "google", "path": "/v1beta/models/g:batchEmbedContents", "status": 200,
     "response": {"embeddings": [{"values": [0.5]}], "usageMetadata": {"promptTokenCount": 7}}},
    {"id": "titan by hand", "provider": "bedrock", "path": "/model/amazon.titan-embed-text-v1/invoke", "status": 200,
     "response": {"embedding": [0.5], "inputTextTokenCount": 4}},
    {"id": "claude by hand", "provider": "bedrock", "path": "/model/anthropic.claude/invoke", "status": 200,
     "response": {"usage": {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 2,
                            "cache_creation_input_tokens": 1}}},
    {"id": "compact by hand", "provider": "openai", "path": "/v1/responses/compact", "status": 200,
     "response": {"usage": {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14,
                            "output_tokens_details": {"reasoning_tokens": 2}}}},
    {"id": "counted by hand", "provider": "google", "path": "/v1beta/models/g:countTokens", "status": 200,
     "response": {"totalTokens": 5}},
    {"id": "refused by hand", "provider": "google", "path": "/v1beta/models/g:batchEmbedContents", "status": 404,
     "response": {"error": {"code": 404, "message": "no such model", "status": "NOT_FOUND"}}},
]  # fmt: skip


def recorded() -> Iterator[dict[str, Any]]:
    """Exchanges of operations: some by hand, and the recorded ones where there are."""
    yield from _BY_HAND
    path = found()
    for line in path.read_text("utf-8").splitlines() if path else ():
        exchange = json.loads(line)
        if exchange["path"].partition("?")[0].endswith((*_EMBEDS, *_COUNTS)):
            yield exchange


ALL = list(recorded())
CLAUDE = [one for one in ALL if "usage" in (one.get("response") or {}) and one["provider"] == "bedrock"]
COUNTED = [one for one in ALL if one["path"].partition("?")[0].endswith(_COUNTS) and one["status"] == 200]
VECTORS = [one for one in ALL if one["status"] == 200 and one not in CLAUDE and one not in COUNTED]
REFUSED = [one for one in ALL if one["status"] != 200]


def named(these: list[dict[str, Any]]) -> Any:
    """A test for each exchange, under its name."""
    return pytest.mark.parametrize("exchange", [pytest.param(one, id=str(one["id"])) for one in these])


def reported(answer: dict[str, Any]) -> int | None:
    """The tokens that a provider's answer says it read."""
    told = (
        answer.get("usage") or answer.get("usageMetadata") or (answer.get("meta") or {}).get("billed_units") or answer
    )
    names = ("total_tokens", "promptTokenCount", "input_tokens", "inputTextTokenCount")
    return next((told[name] for name in names if name in told), None)


def vectors_in(answer: Any) -> list[Any]:
    """Every vector of an answer, whatever its shape."""
    if isinstance(answer, list) and answer and isinstance(answer[0], float | int):
        return [answer]
    inside = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list) else ()
    return [vector for one in inside for vector in vectors_in(one)]


@named(VECTORS)
@pytest.mark.parametrize("wanted", ["float", "base64"])
def test_every_embedding_is_read_counted_and_valid(exchange: dict[str, Any], wanted: str) -> None:
    provider, answer = PROVIDERS[exchange["provider"]], exchange["response"]
    members = {"input": msgspec.Raw(b'"Hello, world!"'), "encoding_format": msgspec.Raw(f'"{wanted}"'.encode())}
    model = unquote(exchange["path"].partition("/model/")[2].partition("/")[0]) or "m"
    read = EMBEDDINGS.verbs[provider.wire].decode(json.dumps(answer).encode(), members, provider, 0, model)
    body = json.loads(read.body)
    if wanted == "base64":  # the published schema knows numbers only
        for one in body["data"]:
            one["embedding"] = of_base64(one["embedding"])
    told = CreateEmbeddingResponse.model_validate(body, strict=True)
    given = [one for one in vectors_in(answer) if one != answer.get("embedding") or "embeddingsByType" not in answer]
    shown: list[Any] = [one.embedding for one in told.data]
    if given and "data" not in answer:
        assert len(shown) == len(given)
        assert all(a == pytest.approx(b, rel=1e-6) for a, b in zip(shown, given, strict=True))
    assert read.usage is not None
    counted = reported(answer)
    assert read.usage.estimated == (counted is None)
    assert read.usage.total_tokens == (counted if counted is not None else 4)
    assert told.usage.total_tokens == read.usage.total_tokens
    assert all(getattr(read.usage, bucket) >= 0 for bucket in TOKEN_BUCKETS)


@named(CLAUDE)
def test_what_invoked_models_of_anthropic_used_is_counted(exchange: dict[str, Any]) -> None:
    raw = exchange["response"]["usage"]
    usage: Usage | None = anthropic.decode_usage(raw)
    assert usage is not None
    assert usage.prompt_tokens == sum(
        raw[name] for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    assert usage.completion_tokens == raw["output_tokens"]


@named(COUNTED)
def test_what_is_counted_or_compacted_is_counted_here_too(exchange: dict[str, Any]) -> None:
    """Compaction is paid by its usage; what only counts tokens says one number, and uses nothing."""
    told, raw = exchange["response"], exchange["response"].get("usage")
    if raw is None:
        [number] = [told[name] for name in ("totalTokens", "input_tokens") if name in told]
        assert number > 0
        return
    usage = responses.decode_usage(raw)
    assert usage is not None
    assert usage.total_tokens == raw["total_tokens"] == raw["input_tokens"] + raw["output_tokens"]
    assert usage.reasoning_tokens == raw["output_tokens_details"]["reasoning_tokens"]


@named(REFUSED)
def test_a_refusal_keeps_its_status_and_words(exchange: dict[str, Any]) -> None:
    provider, answer = PROVIDERS[exchange["provider"]], exchange["response"]
    failed = WIRES[provider.wire].decode_error(exchange["status"], json.dumps(answer).encode(), provider, None)
    assert failed.client_status == exchange["status"]
    assert failed.message == (answer.get("error") or answer)["message"]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=50))
def test_a_vector_in_base64_is_the_vector(vector: list[float]) -> None:
    assert of_base64(in_base64(vector)) == vector


def test_a_body_that_is_no_embeddings_is_a_broken_answer() -> None:
    draw = random.Random(3)
    for wire, verb in EMBEDDINGS.verbs.items():
        provider = next(row for row in PROVIDERS.values() if row.wire == wire)
        for body in (b"", b"[]", b"{}", b'{"data":[{"embedding":{}}]}', bytes(draw.randrange(256) for _ in range(40))):
            with pytest.raises(Exception, match="sent an answer that is no embeddings"):
                verb.decode(body, {"input": msgspec.Raw(b'"a"')}, provider, 0, "m")
