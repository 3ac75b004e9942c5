"""One thing that a command looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is well, and what was seen."""

    name: str
    is_well: bool
    detail: str
