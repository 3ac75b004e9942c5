"""Transcriptions and translations of the `openai` wire: a form with a sound goes, a text comes.

Plain text would come without a word of what it used; so the provider is asked for JSON, and the text in it is handed on.
Old models answer whole whatever they are asked, so a stream of theirs is refused before it is asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from common.providers.registry import ProviderRow
from common.usage import Usage

from gateway.providers.counting import count_of, counted
from gateway.providers.errors import ProviderFailed, untranslatable
from gateway.providers.forms import write_form
from gateway.providers.wire import Answer, Members, Outgoing, StreamDecoder, Verb
from gateway.providers.wires.openai.events import EventsDecoder

_TEXT = b"text/plain; charset=utf-8"
_CUE_END = re.compile(rb"-->\s*(?:(?P<hours>\d{1,3}):)?(?P<minutes>\d{2}):(?P<seconds>\d{2})")
_CUES = (b"srt", b"vtt")
_OURS = ("drop_params",)
_WHOLE = re.compile("whisper")


def verb_of(path: str, read: Callable[[ProviderRow], StreamDecoder] | None = None) -> Verb:
    """The operation at this path, and what reads a stream of it."""

    def encode(members: Members, _provider: ProviderRow, model: str) -> Outgoing:
        if bytes(members.get("stream", b"")).lower() == b"true" and _WHOLE.search(model):
            raise untranslatable(f"{model} answers whole", "stream")
        sent = {name: value for name, value in members.items() if name not in _OURS}
        sent["model"] = msgspec.Raw(model.encode())
        if bytes(sent.get("response_format", b"")) == b"text":
            sent["response_format"] = msgspec.Raw(b"json")
        content_type, body = write_form(sent)
        return Outgoing(path, body, (), b"content-type: %b\r\n" % content_type)

    return Verb(encode, _decode, read)


def _decode(body: bytes, members: Members, provider: ProviderRow, _created: int, model: str) -> Answer:
    wanted = bytes(members.get("response_format", b"json"))
    if wanted in _CUES:
        return Answer(body, _of_cues(body), None, None, model, None, _TEXT)
    try:
        told = msgspec.json.decode(body, type=dict[str, Any])
        text = told["text"]
    except (ValueError, RecursionError, KeyError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no transcription") from error
    raw = told.get("usage") if isinstance(told.get("usage"), dict) else None
    usage = _counted(raw) if raw is not None else None
    if usage is None and isinstance(told.get("duration"), int | float):
        usage = _seconds(told["duration"])
    if wanted == b"text":
        return Answer(f"{text}\n".encode(), usage, raw, None, model, None, _TEXT)
    return Answer(body, usage, raw, None, model, None)


def _counted(raw: Mapping[str, Any]) -> Usage | None:
    """Tokens or seconds, as the model is paid by."""
    if (seconds := raw.get("seconds")) is not None:
        return _seconds(seconds)
    given, said = count_of(raw.get("input_tokens", raw.get("prompt_tokens"))), count_of(raw.get("output_tokens"))
    if given is None:
        return None
    details = raw.get("input_token_details") or raw.get("input_tokens_details")
    heard = min(counted(details, "audio_tokens"), given) if isinstance(details, dict) else given
    return Usage(input_tokens=given - heard, audio_input_tokens=heard, output_tokens=said or 0)


def _seconds(told: Any) -> Usage | None:
    """Whole seconds, begun ones counted."""
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told < 10**9:
        return None
    return Usage(units={"input_audio_seconds": math.ceil(told)})


def _of_cues(body: bytes) -> Usage | None:
    """Subtitles say when the last of them ends, which is about how long the sound is."""
    ends = [
        int(end["hours"] or 0) * 3600 + int(end["minutes"]) * 60 + int(end["seconds"])
        for end in _CUE_END.finditer(body)
    ]
    return Usage(units={"input_audio_seconds": max(ends)}, estimated=True) if ends else None


TRANSCRIPTIONS = verb_of(
    "/audio/transcriptions", lambda provider: EventsDecoder(provider, "transcript.text.done", _counted)
)
TRANSLATIONS = verb_of("/audio/translations")
