"""`POST /v1/audio/transcriptions` and `/translations`: forms with a sound, read and bounded. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from common.usage import Usage

from gateway.api.chat import MAX_NAME, ChatRequest, one_answer
from gateway.providers.forms import FormError, read_form, text_in
from gateway.providers.operations import TRANSCRIPTIONS, TRANSLATIONS, Operation
from gateway.providers.sounds import likely_seconds, most_seconds
from gateway.shapes import Refusal

_HEARD_TOKENS_A_SECOND, _SAID_TOKENS_A_SECOND = 25, 10
"""More than any known model hears, or anybody says, in a second."""
_LEAST_SAID_TOKENS = 256
_FORMATS = frozenset({"json", "text", "srt", "verbose_json", "vtt", "diarized_json"})


def parse_transcription(body: bytes, headers: Mapping[bytes, bytes]) -> ChatRequest:
    """Read a form; raises Refusal that names the field."""
    return _parse(TRANSCRIPTIONS, body, headers)


def parse_translation(body: bytes, headers: Mapping[bytes, bytes]) -> ChatRequest:
    """Read a form; raises Refusal that names the field."""
    return _parse(TRANSLATIONS, body, headers)


def _parse(operation: Operation, body: bytes, headers: Mapping[bytes, bytes]) -> ChatRequest:
    try:
        members = read_form(body, headers.get(b"content-type", b""))
        model, wanted = text_in(members, "model"), text_in(members, "response_format")
        streamed, may_drop = text_in(members, "stream"), text_in(members, "drop_params")
    except FormError as error:
        raise Refusal("invalid_request", str(error)) from None
    sound = bytes(members.get("file", b""))
    if not model or len(model) > MAX_NAME or not model.isprintable():
        raise Refusal("invalid_request", "the form must name a model", param="model")
    if "file;file" not in members or not sound:
        raise Refusal("invalid_request", "the form must have a file", param="file")
    if wanted is not None and wanted not in _FORMATS:
        raise Refusal(
            "invalid_request", f"response_format is one of {', '.join(sorted(_FORMATS))}", param="response_format"
        )
    is_streamed = streamed not in (None, "false", "False")
    if is_streamed and (streamed not in ("true", "True") or operation is not TRANSCRIPTIONS):
        raise Refusal("invalid_request", f"stream: {operation.words} are answered whole", param="stream")
    seconds, likely = most_seconds(sound), likely_seconds(sound)
    return one_answer(
        operation,
        members,
        model,
        seconds * _HEARD_TOKENS_A_SECOND + len(body) - len(sound),
        output_tokens=_LEAST_SAID_TOKENS + seconds * _SAID_TOKENS_A_SECOND,
        units={"input_audio_seconds": seconds},
        may_drop=may_drop != "false",
        streamed=is_streamed,
        likely=Usage(
            audio_input_tokens=likely * 10,
            output_tokens=likely * 3,
            units={"input_audio_seconds": likely},
            estimated=True,
        ),
    )
