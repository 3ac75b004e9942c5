"""The golden files as an outsider reads them: schemas and examples from the disk, nothing from our code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

FOLDER = Path(__file__).resolve().parents[2] / "libs" / "common" / "contracts"


@cache
def _validator(event: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((FOLDER / event / "schema.json").read_text(encoding="utf-8")))


def check(event: str, body: bytes) -> dict[str, Any]:
    """An event as JSON; fails when it is not what its golden schema says. `event` is a folder: `usage.recorded.v1`."""
    told: dict[str, Any] = json.loads(body)
    _validator(event).validate(told)
    return told


def examples(event: str) -> Iterator[tuple[str, bytes]]:
    """The golden examples of an event by name, as they would come over the bus."""
    for path in sorted((FOLDER / event).glob("example-*.json")):
        yield path.stem.removeprefix("example-"), path.read_bytes()
