"""Every Redis key that a script writes or reads stands in the table of the bus, so that each has one known owner."""

from __future__ import annotations

import re
from collections.abc import Iterator

from common.contracts.topology import REDIS_KEYS

from .tree import Source, texts

_CALL = re.compile(r"redis\.call\(\s*'[A-Z]+',\s*'(?P<key>[^']+)'")
_BUILT = re.compile(r"'(?P<key>[a-z_]+:)(?:[a-z]+:)?'\s*\.\.")


def unknown_keys(source: Source) -> Iterator[str]:
    """Keys of a script that the table does not have: `path:line: key`."""
    known = {re.split(r"[{]", row.pattern)[0] for row in REDIS_KEYS}
    for number, line in enumerate(source.text.splitlines(), 1):
        for found in [*_CALL.finditer(line), *_BUILT.finditer(line)]:
            if not any(found["key"] == key or (key.endswith(":") and found["key"].startswith(key)) for key in known):
                yield f"{source.name}:{number}: {found['key']}"


def test_scripts_use_the_keys_of_the_table() -> None:
    scripts = [source for source in texts() if source.name.endswith(".lua")]
    assert len(scripts) >= 5
    assert [said for source in scripts for said in unknown_keys(source)] == []


def test_a_key_that_nobody_owns_is_found() -> None:
    text = "redis.call('GET', 'surprise')\nlocal k = 'hidden:' .. key\n"
    assert list(unknown_keys(Source("a.lua", text))) == ["a.lua:1: surprise", "a.lua:2: hidden:"]
    assert not list(unknown_keys(Source("a.lua", "redis.call('EXISTS', 'epoch')\nlocal k = 'cost:' .. key\n")))
