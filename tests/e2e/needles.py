"""Looks for secrets in whatever was left behind, however they may be written there.

A secret inside a longer text has, in base64, one of three spellings, by where it begins; of each only the characters count
that no neighbour has a part in. Hits are told by the secret's name and never by its value.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

ENCODINGS = ("plain", "base64", "base64url", "hex", "url-encoded", "json")
_GROUP, _GROUP_CHARACTERS = 3, 4
_GZIP = b"\x1f\x8b"


def spellings(secret: str) -> Iterator[tuple[str, bytes]]:
    """Every way in which a secret is looked for: encoding, bytes."""
    raw = secret.encode()
    yield "plain", raw
    for before in range(_GROUP):
        whole = base64.b64encode(b"\0" * before + raw)
        # Characters that also carry bits of what stands before or after differ from text to text.
        begin = -(-before * 8 // 6)
        end = (before + len(raw)) * 8 // 6
        yield "base64", whole[begin:end]
        yield "base64url", whole[begin:end].replace(b"+", b"-").replace(b"/", b"_")
    yield "hex", raw.hex().encode()
    yield "hex", raw.hex().upper().encode()
    yield "url-encoded", quote(secret, safe="").encode()
    yield "url-encoded", "".join(f"%{byte:02X}" for byte in raw).encode()
    yield "json", json.dumps(secret)[1:-1].encode()


class Search:
    """A search for named secrets; each must be long enough not to be met by chance."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        assert all(len(secret) >= 16 for secret in secrets.values())
        self._needles = {
            (name, encoding, needle) for name, secret in secrets.items() for encoding, needle in spellings(secret)
        }

    def hits(self, place: str, content: bytes) -> set[str]:
        """Which secrets stand in a content: `place: name (encoding)`."""
        texts = [content, gzip.decompress(content)] if content.startswith(_GZIP) else [content]
        return {
            f"{place}: {name} ({encoding})"
            for name, encoding, needle in self._needles
            for text in texts
            if needle in text
        }

    def hits_below(self, folder: Path, *, but_for: frozenset[str] = frozenset()) -> set[str]:
        """The same of every file below a folder, but for those of these names."""
        files = [path for path in folder.rglob("*") if path.is_file() and path.name not in but_for]
        return {hit for path in files for hit in self.hits(str(path.relative_to(folder)), path.read_bytes())}
