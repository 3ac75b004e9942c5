"""What Google does beside chat, by the verb in the path: vectors, pictures, speech.

The Gemini API has settings of vectors in each request, the platform beside the content; its older models are asked by
`predict`, whatever they make.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from simulator.answers import Answer
from simulator.operations import (
    MOST_PICTURES,
    PIXEL,
    Operation,
    asked,
    count_in,
    members_of,
    tokens_of,
    vector_of,
    vectors_asked,
)
from simulator.prompts import Prompt
from simulator.refusals import Refusal

_SIZE = 3072
_PICTURE_TOKENS = 1290
_SOUND_TOKENS_A_SECOND = 25
_CHARACTERS_A_SECOND = 15
_RATE = 24_000
_encode = msgspec.json.encode


def _embed(provider: str, model: str, body: bytes) -> Prompt:
    requests = members_of(body).get("requests") or []
    if not requests or (provider == "google" and any(one.get("model") != f"models/{model}" for one in requests)):
        raise Refusal(400, "* BatchEmbedContentsRequest.requests: each must name the model of the path")
    place = requests[0] if provider == "google" else requests[0].get("embedContentConfig") or {}
    return _vectors(provider, model, [_text(one["content"]) for one in requests], place)


def _embed_one(provider: str, model: str, body: bytes) -> Prompt:
    told = members_of(body)
    return _vectors(provider, model, [_text(told["content"])], told.get("embedContentConfig") or {})


def _vectors(provider: str, model: str, texts: list[str], settings: Mapping[str, Any]) -> Prompt:
    return vectors_asked(provider, model, texts, settings, "outputDimensionality", _SIZE)


def _write_embed(answer: Answer, _model: str) -> bytes:
    vectors = [{"values": vector_of(text, answer.asked["size"])} for text in answer.asked["texts"]]
    return _encode({"embeddings": vectors, "usageMetadata": _read_tokens(answer)})


def _write_embed_one(answer: Answer, _model: str) -> bytes:
    vector = {"values": vector_of(answer.asked["texts"][0], answer.asked["size"])}
    return _encode({"embedding": vector, "usageMetadata": _read_tokens(answer)})


def _read_tokens(answer: Answer) -> dict[str, Any]:
    counted = [{"modality": "TEXT", "tokenCount": answer.prompt_tokens}]
    return {"promptTokenCount": answer.prompt_tokens, "promptTokenDetails": counted}


def _predict(provider: str, model: str, body: bytes) -> Prompt:
    told = members_of(body)
    instances, parameters = told.get("instances") or [{}], told.get("parameters") or {}
    if "prompt" in instances[0]:
        return asked(
            provider, model, [instances[0]["prompt"]], {"count": count_in(parameters, "sampleCount", 1, MOST_PICTURES)}
        )
    if not all("content" in one for one in instances):
        raise Refusal(400, "Invalid instances: each needs a content or a prompt.")
    return _vectors(provider, model, [one["content"] for one in instances], parameters)


def _write_predict(answer: Answer, _model: str) -> bytes:
    if "count" in answer.asked:
        picture = {"mimeType": "image/png", "bytesBase64Encoded": b64encode(PIXEL).decode()}
        return _encode({"predictions": [picture] * answer.asked["count"]})
    predictions = []
    for text in answer.asked["texts"]:
        statistics = {"truncated": False, "token_count": tokens_of(text)}
        predictions.append({"embeddings": {"values": vector_of(text, answer.asked["size"]), "statistics": statistics}})
    return _encode({"predictions": predictions})


def _made(modality: str, provider: str, model: str, body: bytes) -> Prompt:
    """A request to generateContent that is answered in something else than text."""
    told = members_of(body)
    if modality not in ((told.get("generationConfig") or {}).get("responseModalities") or [modality]):
        raise Refusal(400, f"The requested combination of response modalities is not supported by models/{model}")
    texts = [_text(content) for content in told.get("contents") or ()]
    return asked(provider, model, texts, {"text": texts[-1] if texts else ""})


def _draw(provider: str, model: str, body: bytes) -> Prompt:
    return _made("IMAGE", provider, model, body)


def _write_draw(answer: Answer, model: str) -> bytes:
    return _generated(answer, model, "IMAGE", "image/png", PIXEL, _PICTURE_TOKENS)


def _speak(provider: str, model: str, body: bytes) -> Prompt:
    return _made("AUDIO", provider, model, body)


def _write_speak(answer: Answer, model: str) -> bytes:
    seconds = -(-len(answer.asked["text"]) // _CHARACTERS_A_SECOND)
    sound = b"\1\0" * (_RATE * seconds)
    kind = f"audio/L16;codec=pcm;rate={_RATE}"
    return _generated(answer, model, "AUDIO", kind, sound, seconds * _SOUND_TOKENS_A_SECOND)


def _generated(answer: Answer, model: str, modality: str, kind: str, made: bytes, tokens: int) -> bytes:
    part = {"inlineData": {"mimeType": kind, "data": b64encode(made).decode()}}
    candidate = {"content": {"parts": [part], "role": "model"}, "finishReason": "STOP", "index": 0}
    usage = {
        "promptTokenCount": answer.prompt_tokens,
        "candidatesTokenCount": tokens,
        "totalTokenCount": answer.prompt_tokens + tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": answer.prompt_tokens}],
        "candidatesTokensDetails": [{"modality": modality, "tokenCount": tokens}],
    }
    told = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model}
    return _encode({**told, "responseId": answer.digest[:22]})


def _text(content: Mapping[str, Any]) -> str:
    return "".join(part.get("text") or "" for part in content["parts"])


VERBS: Mapping[str, Operation] = MappingProxyType(
    {
        "batchEmbedContents": Operation(_embed, _write_embed),
        "embedContent": Operation(_embed_one, _write_embed_one),
        "predict": Operation(_predict, _write_predict),
    }
)
"""By the verb in the path."""

_MADE = (
    (re.compile(r"-tts(-|$)"), Operation(_speak, _write_speak)),
    (re.compile(r"-image(-|$)"), Operation(_draw, _write_draw)),
)


def made_by(model: str) -> Operation | None:
    """What generateContent of a model makes in text's place; None: it answers as chat does."""
    return next((operation for pattern, operation in _MADE if pattern.search(model)), None)
