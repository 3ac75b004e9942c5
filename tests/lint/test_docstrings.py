"""Every module opens with a docstring: what it is responsible for, what it leaves to whom, and why it works so."""

from __future__ import annotations

import ast

from .tree import Source, python


def is_undocumented(source: Source) -> bool:
    """Whether a module says nothing of itself."""
    return not (ast.get_docstring(source.tree) or "").strip()


def test_every_module_says_what_it_is_for() -> None:
    assert [source.name for source in python() if is_undocumented(source)] == []


def test_a_module_without_a_docstring_is_found() -> None:
    assert is_undocumented(Source("a.py", "from __future__ import annotations\n"))
    assert is_undocumented(Source("b.py", ""))
    assert not is_undocumented(Source("c.py", '"""What it is for."""\n'))
