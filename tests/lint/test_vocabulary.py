"""Files, classes and functions have names that say something: none is called after a word that fits everything."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from .tree import Source, code, place

BANNED = {
    "util",
    "utils",
    "helper",
    "helpers",
    "manager",
    "base",
    "misc",
    "impl",
    "data",
    "info",
    "process",
    "v2",
    "new",
}

# The names of things that others named: `base_url` is what every OpenAI client calls the address of a provider, and
# `data_received` is asyncio's for a protocol's bytes.
ALLOWED = re.compile(r"(?<![a-z])(?:base_url|data_received)(?![a-z])", re.IGNORECASE)


def words(name: str) -> set[str]:
    """The words of a name: `DataManager` and `_data_manager` → data, manager."""
    spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", ALLOWED.sub("", name))
    return set(re.split(r"[^a-z0-9]+", spelled.lower()))


def banned_names(source: Source) -> Iterator[str]:
    """Names in a source that hold a banned word, and where."""
    for part in PurePosixPath(source.name).with_suffix("").parts:
        if found := sorted(words(part) & BANNED):
            yield f"{source.name}: {part} ({', '.join(found)})"
    if not source.name.endswith(".py"):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = "" if node.name.startswith("test_") else node.name
            if found := sorted(words(name) & BANNED):
                yield f"{place(source, node)}: {name} ({', '.join(found)})"


def test_no_name_is_empty_of_meaning() -> None:
    assert [said for source in code() for said in banned_names(source)] == []


def test_banned_words_are_found_in_every_spelling() -> None:
    source = Source("a/data_utils.py", "class BaseManager: ...\ndef _new_thing(): ...\nasync def process(): ...\n")
    assert len(list(banned_names(source))) == 4
    assert (
        list(
            banned_names(
                Source(
                    "a/database.py",
                    "def renew(): ...\ndef base_url(): ...\nclass Newest: ...\ndef database_url(): ...\n",
                )
            )
        )
        == []
    )
