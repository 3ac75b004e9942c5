"""Exchanges with providers in other words than chat's: small ones written by hand, and recorded ones where there are.

Each is (provider, path, request, status, response or stream). Recordings are found as `recordings` finds them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from common.providers.registry import PROVIDERS
from recordings import Exchange, found

_BY_HAND = Path(__file__).parent / "fixtures" / "native.jsonl"


def native_exchanges(*ends: str) -> list[Exchange]:
    """All exchanges whose path has one of these ends."""
    recorded = found()
    paths = [_BY_HAND, *([recorded] if recorded else [])]
    return [exchange for path in paths for exchange in _read(path, ends)]


def _read(path: Path, ends: tuple[str, ...]) -> Iterator[Exchange]:
    for line in path.read_text("utf-8").splitlines():
        told = json.loads(line)
        row = PROVIDERS.get(told["provider"])
        if row is not None and told["path"].partition("?")[0].endswith(ends):
            name = f"{told['provider']} {told['id']}"
            yield Exchange(name, row, told["request"] or {}, told["status"], told.get("response"), told.get("stream"))
