"""What the speakers of OpenAI's wire do beside chat, by path."""

from __future__ import annotations

import re
import struct
from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from simulator.answers import Answer
from simulator.faults import Directives
from simulator.operations import (
    MOST_NUMBERS,
    MOST_PICTURES,
    PIXEL,
    Operation,
    asked,
    count_in,
    members_of,
    ranked,
    ranking_asked,
    tokens_of,
    vector_of,
)
from simulator.prompts import Prompt
from simulator.refusals import Refusal
from simulator.streams import StreamScript

_SIZE = 1536
_IMAGE_TOKENS = 272
_MOST_PARTIAL = 3
_PARTIAL_TOKENS = 100
_BYTES_A_SECOND = 16_000
_FIELD = re.compile(rb'name="(?P<name>[^"]*)"')
_CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent"),
    *(
        "self-harm",
        "self-harm/instructions",
        "self-harm/intent",
        "sexual",
        "sexual/minors",
        "violence",
        "violence/graphic",
    ),
)


def _embeddings(provider: str, _model: str, body: bytes) -> Prompt:
    told = members_of(body)
    given: Any = told.get("input")
    if not given:
        raise Refusal(400, "'input' is required", kind="invalid_request_error", param="input")
    inputs: list[Any] = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
    texts = [one if isinstance(one, str) else msgspec.json.encode(one).decode() for one in inputs]
    tokens = sum([tokens_of(one) if isinstance(one, str) else len(one) for one in inputs])
    size = count_in(told, "dimensions", _SIZE, MOST_NUMBERS // len(texts))
    what = {"texts": texts, "size": size, "format": told.get("encoding_format")}
    return asked(provider, told.get("model"), texts, what, tokens)


def _write_embeddings(answer: Answer, model: str) -> bytes:
    what = answer.asked
    vectors: list[Any] = [vector_of(text, what["size"]) for text in what["texts"]]
    if what["format"] == "base64":
        vectors = [b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() for vector in vectors]
    data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    usage = {"prompt_tokens": answer.prompt_tokens, "total_tokens": answer.prompt_tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": usage})


def _moderations(provider: str, _model: str, body: bytes) -> Prompt:
    told = members_of(body)
    given = told.get("input") or ""
    inputs = given if isinstance(given, list) else [given]
    texts = [one if isinstance(one, str) else str(one.get("text") or "") for one in inputs]
    return asked(provider, told.get("model") or "omni-moderation-latest", texts, {"texts": texts})


def _write_moderations(answer: Answer, model: str) -> bytes:
    results = []
    for text in answer.asked["texts"]:
        found = {name: name in text.lower() for name in _CATEGORIES}
        scores = {name: 0.99 if is_so else 0.01 for name, is_so in found.items()}
        looked_at = {name: ["text"] for name in _CATEGORIES}
        results.append(
            {
                "flagged": any(found.values()),
                "categories": found,
                "category_scores": scores,
                "category_applied_input_types": looked_at,
            }
        )
    return msgspec.json.encode({"id": f"modr-{answer.digest[:24]}", "model": model, "results": results})


def _rerank(provider: str, _model: str, body: bytes) -> Prompt:
    told = members_of(body)
    texts = [one if isinstance(one, str) else str(one.get("text")) for one in told.get("documents") or ()]
    return ranking_asked(provider, told.get("model"), texts, told.get("query"), told)


def _write_rerank(answer: Answer, model: str) -> bytes:
    results = [{**one, "document": {"text": answer.asked["texts"][one["index"]]}} for one in ranked(answer)]
    usage = {"prompt_tokens": answer.prompt_tokens, "completion_tokens": 0, "total_tokens": answer.prompt_tokens}
    return msgspec.json.encode({"id": answer.digest, "model": model, "results": results, "usage": usage})


def _images(provider: str, _model: str, body: bytes) -> Prompt:
    told = members_of(body)
    words = str(told.get("prompt") or "")
    what = {"count": count_in(told, "n", 1, MOST_PICTURES), "partial": 0}
    if told.get("partial_images"):
        what["partial"] = count_in(told, "partial_images", 0, _MOST_PARTIAL)
    prompt = asked(provider, told.get("model") or "dall-e-2", [words], what)
    return msgspec.structs.replace(prompt, is_streamed=told.get("stream") is True)


def _write_images(answer: Answer, model: str) -> bytes:
    """Models of the family gpt-image count tokens; the others say nothing of what they used."""
    count = answer.asked["count"]
    told: dict[str, Any] = {"created": 1_790_000_000, "data": [{"b64_json": b64encode(PIXEL).decode()}] * count}
    if "gpt-image" in model:
        told["usage"] = _drawn(answer, count * _IMAGE_TOKENS)
    return msgspec.json.encode(told)


def _drawn(answer: Answer, tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": answer.prompt_tokens,
        "input_tokens_details": {"text_tokens": answer.prompt_tokens, "image_tokens": 0},
        "output_tokens": tokens,
        "total_tokens": answer.prompt_tokens + tokens,
    }


def _stream_images(answer: Answer, _model: str, directives: Directives) -> StreamScript:
    """Pictures that are not whole yet cost tokens of their own."""
    partial = answer.asked["partial"]
    picture = {"b64_json": b64encode(PIXEL).decode(), "created_at": 1_790_000_000, "background": "opaque"}
    picture |= {"output_format": "png", "quality": "low", "size": "1024x1024"}
    told = [
        {"type": "image_generation.partial_image", **picture, "partial_image_index": index} for index in range(partial)
    ]
    usage = {"usage": _drawn(answer, _IMAGE_TOKENS + partial * _PARTIAL_TOKENS)}
    told.append({"type": "image_generation.completed", **picture, **({} if directives.no_usage else usage)})
    return _script([_named(one) for one in told], directives)


def _script(frames: list[bytes], directives: Directives) -> StreamScript:
    usage_at = None if directives.no_usage else len(frames) - 1
    return StreamScript(b"", frames, [0] * len(frames), usage_at, b"", b"")


def _named(told: dict[str, Any]) -> bytes:
    kind: str = told["type"]
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(told) + b"\n\n"


def _speech(provider: str, _model: str, body: bytes) -> Prompt:
    told = members_of(body)
    text = str(told.get("input") or "")
    return asked(provider, told.get("model"), [text], {"text": text})


def _write_speech(answer: Answer, _model: str) -> bytes:
    return b"ID3\4\0\0\0\0\0\0" + bytes.fromhex(answer.digest) * max(1, len(answer.asked["text"]))


def _transcriptions(provider: str, _model: str, body: bytes) -> Prompt:
    fields = _fields(body)
    if not fields.get("file"):
        raise Refusal(400, "'file' is required", kind="invalid_request_error", param="file")
    seconds = _seconds(fields["file"])
    what = {"seconds": seconds, "format": fields.get("response_format", b"json").decode()}
    model, words = fields.get("model", b"").decode(), fields.get("prompt", b"").decode()
    prompt = asked(provider, model, [words or f"{seconds} s of sound"], what, tokens=10 * seconds)
    is_streamed = fields.get("stream", b"").lower() == b"true" and "whisper" not in model
    return msgspec.structs.replace(prompt, is_streamed=is_streamed)


def _write_transcriptions(answer: Answer, model: str) -> bytes:
    """Models of the family gpt-4o count tokens, the others seconds."""
    seconds, kind, text = answer.asked["seconds"], answer.asked["format"], _heard(answer)
    end = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if kind == "text":
        return f"{text}\n".encode()
    if kind == "srt":
        return f"1\n00:00:00,000 --> {end},000\n{text}\n\n".encode()
    if kind == "vtt":
        return f"WEBVTT\n\n00:00:00.000 --> {end}.000\n{text}\n\n".encode()
    if kind == "verbose_json":
        cue = {"id": 0, "seek": 0, "start": 0.0, "end": float(seconds), "text": text, "tokens": [1], "temperature": 0.0}
        cue |= {"avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.01}
        told: dict[str, Any] = {"task": "transcribe", "language": "english", "duration": float(seconds), "text": text}
        return msgspec.json.encode({**told, "segments": [cue], "usage": {"type": "duration", "seconds": seconds}})
    if "gpt-4o" not in model:
        return msgspec.json.encode({"text": text, "usage": {"type": "duration", "seconds": seconds}})
    return msgspec.json.encode({"text": text, "usage": _heard_tokens(answer)})


def _heard(answer: Answer) -> str:
    return f"The old lighthouse keeps {answer.asked['seconds']} plain numbers."


def _heard_tokens(answer: Answer) -> dict[str, Any]:
    heard, said = answer.prompt_tokens, tokens_of(_heard(answer))
    usage = {"type": "tokens", "input_tokens": heard, "output_tokens": said, "total_tokens": heard + said}
    return {**usage, "input_token_details": {"text_tokens": 0, "audio_tokens": heard}}


def _stream_transcriptions(answer: Answer, _model: str, directives: Directives) -> StreamScript:
    words = re.findall(r"\S+\s*", _heard(answer))
    told: list[dict[str, Any]] = [{"type": "transcript.text.delta", "delta": word} for word in words]
    usage = {} if directives.no_usage else {"usage": _heard_tokens(answer)}
    told.append({"type": "transcript.text.done", "text": _heard(answer), **usage})
    return _script([b"data: " + msgspec.json.encode(one) + b"\n\n" for one in told], directives)


def _seconds(sound: bytes) -> int:
    """What a WAV file says of itself, begun seconds counted; of any other, one for every 16,000 bytes."""
    is_wav = sound[:4] == b"RIFF" and len(sound) >= 44
    rate = struct.unpack_from("<I", sound, 28)[0] if is_wav else 0
    return -(-len(sound) // (rate or _BYTES_A_SECOND))


def _fields(body: bytes) -> dict[str, bytes]:
    """The fields of a form; the first line of a form is its boundary."""
    boundary = body.partition(b"\r\n")[0]
    fields: dict[str, bytes] = {}
    for part in body.split(boundary)[1:-1] if boundary else ():
        head, _, value = part.strip(b"\r\n").partition(b"\r\n\r\n")
        if found := _FIELD.search(head):
            fields[found["name"].decode()] = value
    return fields


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "/embeddings": Operation(_embeddings, _write_embeddings),
        "/moderations": Operation(_moderations, _write_moderations),
        "/rerank": Operation(_rerank, _write_rerank),
        "/images/generations": Operation(_images, _write_images, stream=_stream_images),
        "/audio/speech": Operation(_speech, _write_speech, b"audio/mpeg"),
        "/audio/transcriptions": Operation(_transcriptions, _write_transcriptions, stream=_stream_transcriptions),
        "/audio/translations": Operation(_transcriptions, _write_transcriptions),
    }
)
"""By the path behind the base URL. Every row does all of them; whom one asks is the caller's matter."""
