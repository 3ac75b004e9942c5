"""Speech of the `gemini` wire: generateContent that answers in sound.

The sound comes as bare samples, which is what OpenAI calls `pcm`; with a head before them it is a `wav`, and that is also
what clients get who asked for a format that would have to be encoded.
"""

from __future__ import annotations

import re
import struct
from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.chat import Asked
from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Answer, Members, Outgoing
from gateway.providers.wires.gemini.failures import failure_of
from gateway.providers.wires.gemini.usage import decode_usage

_BARE = re.compile(r"audio/(l16|pcm)", re.I)
_RATE = re.compile(r"rate=(?P<rate>\d{4,6})")
_UNTOLD = "application/octet-stream"
_USUAL_RATE = 24_000
_BYTES_A_SAMPLE = 2
_HEAD = struct.Struct("<4sI8sIHHIIHH4sI")
_VOICES_OF_OPENAI = frozenset(
    {
        *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"),
        *("marin", "nova", "onyx", "sage", "shimmer", "verse"),
    }
)
_SPOKEN = (None, "pcm", "wav")


def encode(members: Members, _provider: ProviderRow, model: str) -> Outgoing:
    """The request. A voice that OpenAI alone has is dropped, and the model's own speaks."""
    asked = Asked(members)
    config: dict[str, Any] = {"responseModalities": ["AUDIO"]}
    voice = asked.take("voice")
    if isinstance(voice, str) and voice.lower() not in _VOICES_OF_OPENAI:
        config["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}
    elif voice is not None:
        asked.put_back("voice", voice)
    form = asked.take("response_format")
    if form not in _SPOKEN:
        asked.put_back("response_format", form)
    if asked.take("speed") not in (None, 1):
        asked.put_back("speed", True)
    asked.take("stream_format")
    contents = [{"role": "user", "parts": [{"text": asked.take("input")}]}]
    body = msgspec.json.encode({"contents": contents, "generationConfig": config})
    return Outgoing(f"/models/{quote(model, safe='@')}:generateContent", body, asked.dropped())


def decode(body: bytes, members: Members, provider: ProviderRow, _created: int, model: str) -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is no sound."""
    try:
        told = msgspec.json.decode(body)
        if isinstance(told.get("error"), dict):
            raise failure_of(told["error"], provider)
        kind, sound = _sound_in(told)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no sound") from error
    if not sound:
        raise ProviderFailed("broken", f"{provider.display_name} said nothing")
    raw = told.get("usageMetadata")
    raw = raw if isinstance(raw, dict) else None
    usage = decode_usage(raw) if raw is not None else None
    if _BARE.match(kind):
        is_bare = bytes(members.get("response_format", b"")) == b'"pcm"'
        kind, sound = ("audio/pcm", sound) if is_bare else ("audio/wav", _with_head(kind, sound))
    return Answer(sound, usage, raw, None, told.get("modelVersion") or model, None, kind.encode())


def _sound_in(told: Mapping[str, Any]) -> tuple[str, bytes]:
    """Type and bytes of what was said, all parts of it together."""
    parts = told["candidates"][0]["content"]["parts"]
    found = [part["inlineData"] for part in parts if "inlineData" in part]
    sound = b"".join(b64decode(one["data"], validate=True) for one in found)
    kind = (found[0]["mimeType"] if found else "") or _UNTOLD
    return kind if kind.isascii() and kind.isprintable() else _UNTOLD, sound


def _with_head(kind: str, sound: bytes) -> bytes:
    """Samples of 16 bits, one channel, as a WAV file."""
    named = _RATE.search(kind)
    rate = int(named["rate"]) if named else _USUAL_RATE
    head = _HEAD.pack(
        *(b"RIFF", _HEAD.size - 8 + len(sound), b"WAVEfmt ", 16, 1, 1),
        *(rate, rate * _BYTES_A_SAMPLE, _BYTES_A_SAMPLE, _BYTES_A_SAMPLE * 8, b"data", len(sound)),
    )
    return head + sound
