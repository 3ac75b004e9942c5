"""The environment is read by settings, once, at start; whatever else read it would be a setting that nobody sees."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .tree import Source, place, shipped

READS = {"environ", "environb", "getenv", "putenv"}

# Where it may be read: settings, the mains that hand it to them, the installer (which runs before anything is
# installed), and what tests are made of. pydantic's settings read it by themselves.
ALLOWED = (
    "/settings.py",
    "libs/common/src/common/testing/",
    "services/simulator/src/simulator/main.py",
    "cli/install.py",
    "benchmarks/",
)


def environment_reads(source: Source) -> Iterator[str]:
    """Where a module looks at the environment."""
    if any(part in source.name for part in ALLOWED):
        return
    yield from (place(source, node) for node in ast.walk(source.tree) if _reads(node))


def _reads(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr=name):
            return name in READS
        case ast.ImportFrom(module="os", names=names):
            return any(name.name in READS for name in names)
    return False


def test_only_settings_read_the_environment() -> None:
    assert [at for source in shipped() for at in environment_reads(source)] == []


def test_reading_the_environment_is_found_in_every_form() -> None:
    for text in ("os.environ['A']", "os.getenv('A')", "from os import environ", "x = dict(os.environ)"):
        assert list(environment_reads(Source("a/flows.py", text)))
        assert not list(environment_reads(Source("a/settings.py", text)))
