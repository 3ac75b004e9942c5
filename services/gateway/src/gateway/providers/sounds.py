"""How long a sound is, told by its bytes. Pure.

A WAV file says it; of others there is a most, by the fewest bytes that a second of speech takes in any codec in use
(Opus at 6 kbit/s), and a guess by what recordings usually take.
"""

from __future__ import annotations

import struct

_FEWEST_BYTES_A_SECOND = 750
_USUAL_BYTES_A_SECOND = 4_000
_HEAD_BYTES = 44
_SAMPLES = struct.Struct("<HHI6xH")  # kind, channels, samples a second, (bytes a second and a frame,) bits a sample
_KINDS_AT = 20
_UNCOMPRESSED = (1, 3)


def most_seconds(sound: bytes) -> int:
    """No more seconds than this."""
    return -(-len(sound) // (_bytes_a_second(sound) or _FEWEST_BYTES_A_SECOND))


def likely_seconds(sound: bytes) -> int:
    """About so many seconds."""
    return -(-len(sound) // (_bytes_a_second(sound) or _USUAL_BYTES_A_SECOND))


def _bytes_a_second(sound: bytes) -> int | None:
    """What the head of an uncompressed WAV file says, by the same fields that a decoder goes by: its own sum of them
    nobody has to believe."""
    if len(sound) < _HEAD_BYTES or sound[:4] != b"RIFF" or sound[8:16] != b"WAVEfmt ":
        return None
    kind, channels, samples, bits = _SAMPLES.unpack_from(sound, _KINDS_AT)
    rate: int = samples * channels * bits // 8
    return rate if kind in _UNCOMPRESSED and rate >= _FEWEST_BYTES_A_SECOND else None
