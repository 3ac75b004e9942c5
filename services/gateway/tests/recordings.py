"""Exchanges with providers: recorded ones where somebody has them, else small ones written by hand in the same shapes.

Recordings are found at `TOLLGATE_RECORDINGS` or beside the checkout; they are nobody's to ship.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.providers.registry import PROVIDERS, ProviderRow

_BESIDE = Path("shared/data/recorded/exchanges.jsonl")
_SPOKEN_BY = frozenset({*PROVIDERS, "cerebras", "huggingface"})


@dataclass(frozen=True)
class Exchange:
    """One request and what came back: a whole answer or error, or a stream."""

    name: str
    provider: ProviderRow
    request: dict[str, Any]
    status: int
    response: Any
    stream: str | None


def exchanges() -> list[Exchange]:
    """All exchanges of providers that speak OpenAI's chat completions."""
    return [
        *_read(Path(__file__).parent / "fixtures" / "exchanges.jsonl"),
        *(_read(path) if (path := found()) else []),
    ]


def found() -> Path | None:
    """The recordings, where somebody has them."""
    given = os.environ.get("TOLLGATE_RECORDINGS")
    places = [Path(given)] if given else [folder / _BESIDE for folder in Path(__file__).resolve().parents]
    return next((place for place in places if place.is_file()), None)


def _read(path: Path) -> Iterator[Exchange]:
    for line in path.read_text("utf-8").splitlines():
        told = json.loads(line)
        if told["provider"] in _SPOKEN_BY and told["path"].endswith("/chat/completions"):
            row = PROVIDERS.get(told["provider"], PROVIDERS["custom"])
            name = f"{told['provider']} {told['id']}"
            yield Exchange(name, row, told["request"] or {}, told["status"], told.get("response"), told.get("stream"))
