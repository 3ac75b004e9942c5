"""What a call used: one record of disjoint buckets.

Providers count differently (cached tokens inside or outside the input, reasoning inside or outside the output). A wire
turns each report into these buckets, of which no token is in two, and whose sum is the provider's own total. Prices
hang on the buckets; clients are shown OpenAI's way of counting, which `as_openai` restores.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

_NO_UNITS: Mapping[str, int] = MappingProxyType({})


class Usage(msgspec.Struct, frozen=True):
    """Tokens by bucket, all ≥ 0, disjoint; `units` counts what is not tokens (images, requests, characters …)."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    units: Mapping[str, int] = _NO_UNITS
    estimated: bool = False
    anomalous: bool = False
    """Whether the provider's report contradicts itself: what cannot be was clamped, so that nothing is negative."""

    @property
    def total_tokens(self) -> int:
        """The sum of all token buckets."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def prompt_tokens(self) -> int:
        """Input as OpenAI counts it: cached, cache-written and audio tokens included."""
        return (
            self.input_tokens
            + self.cached_input_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.audio_input_tokens
        )

    @property
    def completion_tokens(self) -> int:
        """Output as OpenAI counts it: reasoning and audio tokens included."""
        return self.output_tokens + self.reasoning_tokens + self.audio_output_tokens

    def as_openai(self) -> dict[str, Any]:
        """The `usage` object of OpenAI's chat completions; tokens written to a cache stand there where there are any, and
        those of pictures are part of the output."""
        written = self.cache_write_5m_tokens + self.cache_write_1h_tokens
        drawn = self.units.get("output_image_tokens", 0)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens + drawn,
            "total_tokens": self.total_tokens + drawn,
            "prompt_tokens_details": {
                "cached_tokens": self.cached_input_tokens,
                "audio_tokens": self.audio_input_tokens,
                **({"cache_write_tokens": written} if written else {}),
            },
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning_tokens,
                "audio_tokens": self.audio_output_tokens,
            },
        }

    def as_event(self) -> dict[str, Any]:
        """The `usage` object of a usage event."""
        return {
            "input_tokens": self.input_tokens,
            "cached_input_tokens": self.cached_input_tokens,
            "cache_write_5m_tokens": self.cache_write_5m_tokens,
            "cache_write_1h_tokens": self.cache_write_1h_tokens,
            "output_tokens": self.output_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "audio_input_tokens": self.audio_input_tokens,
            "audio_output_tokens": self.audio_output_tokens,
            "total_tokens": self.total_tokens,
            "units": dict(self.units),
            "estimated": self.estimated,
            "anomalous": self.anomalous,
        }


TOKEN_BUCKETS: tuple[str, ...] = tuple(name for name in Usage.__struct_fields__ if name.endswith("_tokens"))
"""The names of the token buckets, in the order of the record."""

NOTHING = Usage()
"""The usage of a call that used nothing."""
