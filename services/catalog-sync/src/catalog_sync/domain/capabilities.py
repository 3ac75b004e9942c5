"""What a model is for, told by its name where its source does not say: providers name their models by purpose.

Whatever no row here knows is for chat, which is what nearly every model is for.
"""

from __future__ import annotations

import re

_CHAT = ("chat",)

_BY_NAME: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern), capabilities)
    for pattern, capabilities in (
        (r"embed", ("embeddings",)),
        (r"rerank", ("rerank",)),
        (r"(^|/)(omni-|text-|mistral-)?moderation", ("moderation",)),
        (r"whisper|transcri", ("transcription",)),
        (r"(^|[-/])tts(-|$)|orpheus", ("speech",)),
        (r"(^|/)(gpt-image|chatgpt-image|dall-e|imagen)", ("image",)),
        (r"gemini-.*-image", ("chat", "image")),
        (r"-ocr(-|$)", ("ocr",)),
        (r"-realtime|-live-", ("realtime",)),
        (r"^(ada|babbage|curie|davinci|text-(ada|babbage|curie|davinci)|gpt-3\.5-turbo-instruct)", ("completion",)),
    )
)


def capabilities_of(name: str) -> tuple[str, ...]:
    """The capabilities of a model of this name."""
    lowered = name.lower()
    return next((capabilities for pattern, capabilities in _BY_NAME if pattern.search(lowered)), _CHAT)
