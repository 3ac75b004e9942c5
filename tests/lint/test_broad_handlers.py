"""Nothing catches every error, but for the edges listed here: a bug must not look like an outage, nor be swallowed.

A handler of BaseException that only cleans up and raises again is no edge.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .tree import Source, place, shipped

BROAD = {"Exception", "BaseException"}

# file → how many, and why there.
EDGES = {
    "libs/common/src/common/bus/consume.py": (1, "whatever a handler raises, its batch is delivered again"),
    "libs/common/src/common/bus/connect.py": (1, "closing must not fail whatever state the connection is in"),
    "services/gateway/src/gateway/api/app.py": (1, "whatever a call raises, its client gets an answer"),
    "services/gateway/src/gateway/main.py": (1, "whatever stops the start, the log says so"),
}


def broad_handlers(source: Source) -> Iterator[str]:
    """Where a module catches everything and does not raise it again."""
    for node in ast.walk(source.tree):
        match node:
            case ast.ExceptHandler(type=caught):
                swallows = _is_broad(caught) and not _raises_again(node)
            case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress"), args=caught_here):
                swallows = any(map(_is_broad, caught_here))
            case _:
                swallows = False
        if swallows:
            yield place(source, node)


def _is_broad(caught: ast.expr | None) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(name is None or (isinstance(name, ast.Name) and name.id in BROAD) for name in names)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Its last statement is a bare `raise`, and it does not leave before."""
    last = handler.body[-1]
    leaves = any(isinstance(node, ast.Return | ast.Continue | ast.Break) for node in ast.walk(handler))
    return isinstance(last, ast.Raise) and last.exc is None and not leaves


def unexplained(source: Source) -> Iterator[str]:
    """Where the linter's rule is switched off without saying why."""
    rule = "BLE" + "001"
    for number, line in enumerate(source.text.splitlines(), 1):
        if "noqa" in line and rule in line and len(line.partition(rule)[2].strip(" -–:#,")) < 10:
            yield f"{source.name}:{number}"


def test_everything_is_caught_at_the_listed_edges_only() -> None:
    found = {source.name: places for source in shipped() if (places := list(broad_handlers(source)))}
    assert {name: len(places) for name, places in found.items()} == {name: count for name, (count, _) in EDGES.items()}


def test_each_exception_to_the_rule_gives_its_reason() -> None:
    assert [at for source in shipped() for at in unexplained(source)] == []


def test_broad_handlers_are_found_in_every_form() -> None:
    text = "try: ...\nexcept {0}:\n    {1}\n"
    for caught in ("Exception", "BaseException as error", "(OSError, Exception)", ""):
        assert list(broad_handlers(Source("a.py", text.format(caught, "pass").replace("except :", "except:"))))
        assert not list(broad_handlers(Source("a.py", text.format(caught, "raise").replace("except :", "except:"))))
    assert list(broad_handlers(Source("a.py", "with suppress(Exception): ...")))
    assert not list(broad_handlers(Source("a.py", text.format("OSError", "pass"))))
    assert list(unexplained(Source("a.py", "except Exception:  # noqa: BLE" + "001\n")))
