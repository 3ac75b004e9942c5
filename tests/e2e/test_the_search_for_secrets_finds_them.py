"""The search that `test_no_secret_leaves_its_place` rests on finds what was planted, in every encoding, anywhere."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as some
from needles import ENCODINGS, Search

SECRET = "canary-of-the-search~+/&=é"
WRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda text: text,
    "base64": base64.b64encode,
    "base64url": base64.urlsafe_b64encode,
    "hex": lambda text: text.hex().encode(),
    "url-encoded": lambda text: quote(text, safe="").encode(),
    "json": lambda text: json.dumps(text.decode(errors="replace")).encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(before=some.binary(max_size=20), after=some.binary(max_size=20))
def test_a_secret_is_found_in_every_encoding_amid_anything(encoding: str, before: bytes, after: bytes) -> None:
    written = WRITTEN[encoding](before + SECRET.encode() + after)
    assert f"log: key ({encoding})" in Search({"key": SECRET}).hits("log", written)


@given(some.binary(max_size=400))
def test_what_is_not_there_is_not_found(content: bytes) -> None:
    assert Search({"key": SECRET}).hits("log", content) == set()


def test_files_are_searched_whatever_they_are(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.log").write_text(f"authorization: Bearer {SECRET}\n")
    (tmp_path / "b.gz").write_bytes(gzip.compress(SECRET.encode()))
    (tmp_path / "secrets.json").write_text(SECRET)
    found = Search({"key": SECRET}).hits_below(tmp_path, but_for=frozenset({"secrets.json"}))
    assert {hit.split(": ")[0] for hit in found} == {"deep/a.log", "b.gz"}
    assert SECRET not in str(found)
