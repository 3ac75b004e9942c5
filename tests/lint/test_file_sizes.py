"""No file of ours is longer than a person reads in one go: 400 lines, 600 for tests; past that, split by subject."""

from __future__ import annotations

from .tree import Source, code

MOST_LINES = 400
MOST_TEST_LINES = 600


def too_long(source: Source) -> str | None:
    """What to say of a file that is too long."""
    lines, most = source.text.count("\n"), MOST_TEST_LINES if source.is_test else MOST_LINES
    return f"{source.name} has {lines} lines, at most {most} are allowed" if lines > most else None


def test_no_file_is_too_long() -> None:
    assert [said for source in code() if (said := too_long(source))] == []


def test_a_file_one_line_too_long_is_found() -> None:
    assert too_long(Source("a.py", "\n" * 401)) == "a.py has 401 lines, at most 400 are allowed"
    assert too_long(Source("a.py", "\n" * 400)) is None
    assert too_long(Source("tests/a.py", "\n" * 600)) is None
