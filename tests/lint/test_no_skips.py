"""No test is skipped or expected to fail: a test that does not run proves nothing and says that it does."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .tree import Source, place, python

SKIPS = {
    "pytest.skip",
    "pytest.mark.skip",
    "pytest.mark.skipif",
    "pytest.mark.xfail",
    "pytest.xfail",
    "pytest.importorskip",
}


def skipped(source: Source) -> Iterator[str]:
    """Where a test is left out."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in SKIPS:
            yield place(source, node)


def test_no_test_is_left_out() -> None:
    assert [at for source in python() for at in skipped(source)] == []


def test_leaving_out_is_found_in_every_form() -> None:
    for text in ("pytest.skip('later')", "@pytest.mark.xfail\ndef f(): ...", "@pytest.mark.skipif(x)\ndef f(): ..."):
        assert list(skipped(Source("tests/test_x.py", text)))
