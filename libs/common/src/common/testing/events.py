"""Events as a later release may tell them, for tests of whoever hears them."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel


def of_a_later_release(event: BaseModel) -> bytes:
    """An event's bytes with a member that nobody knows in each of its objects; free tables (tags, units) stay as they
    are."""
    return json.dumps(_with_more(event, event.model_dump(mode="json"))).encode()


def _with_more(told: Any, dumped: Any) -> Any:
    if isinstance(told, BaseModel):
        members = {name: _with_more(getattr(told, name), value) for name, value in dumped.items()}
        return {**members, "of_a_later_release": {"is_known": False}}
    if isinstance(told, tuple):
        return [_with_more(*pair) for pair in zip(told, dumped, strict=True)]
    return dumped
