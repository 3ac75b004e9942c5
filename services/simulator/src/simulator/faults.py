"""How an answer is to misbehave: reading directives, and the standing rules set over the control routes.

A directive is `key=value`; a bare `key` means `key=true`. They stand in the last user message as
`[[simulate status=429 retry_after=2]]`, or in a rule that holds for a provider until it is used up or deleted.
What each one does is for `streams`, `playback` and the wires to do; here they are only read, checked and bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

MOST_RULES = 1_000
ANY = "*"
"""In place of a provider: every one."""
LONGEST_WAIT_MS = 600_000

Milliseconds = Annotated[float, Meta(ge=0, le=LONGEST_WAIT_MS)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Ordinal = Annotated[int, Meta(ge=1, le=1_000_000)]
Size = Annotated[int, Meta(ge=1, le=16 * 1024 * 1024)]
DirectiveValue = str | int | float | bool


class Directives(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one call is to be answered. Chunks are counted from 1; the one with the role is the first."""

    # Instead of an answer.
    status: Annotated[int, Meta(ge=400, le=599)] | None = None
    retry_after: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    """Seconds, sent with a refusal."""
    code: str | None = None
    error_type: str | None = None
    missing_model: str | None = None
    """The model of this name does not exist."""
    drop: bool = False
    """The connection is closed before anything is sent."""
    html: bool = False

    # What the answer says.
    tokens: Count | None = None
    prompt_tokens: Count | None = None
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    reasoning_tokens: Count = 0
    tool_calls: Annotated[int, Meta(ge=0, le=128)] | None = None
    no_arguments: bool = False
    """Tool calls whose arguments stay the empty string."""
    unicode: bool = False
    finish: str | None = None
    """The finish reason to claim."""
    served_model: str | None = None
    """The model named in the answer, where it is not the one asked for."""
    echo: Annotated[str, Meta(pattern="^headers$")] | None = None
    no_usage: bool = False

    # When it comes.
    held: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    """Nothing is answered before this gate is opened."""
    first_byte_ms: Milliseconds = 0
    chunk_ms: Milliseconds = 0
    stall_ms: Milliseconds = 60_000
    """How long a stalled answer keeps its connection."""

    # How it is written, or breaks off. A whole answer counts bytes where a stream counts chunks.
    cut_after: Count | None = None
    stall_after: Count | None = None
    malformed_at: Ordinal | None = None
    error_at: Ordinal | None = None
    no_done: bool = False
    big_line: Size | None = None
    empty_choices_first: bool = False
    usage_in_every_chunk: bool = False
    obfuscation: bool = False
    split_bytes: Size | None = None
    crlf: bool = False
    coalesce: bool = False


NO_FAULTS = Directives()

_DIRECTIVE = re.compile(r"\[\[simulate\s([^\[\]]{0,2000})\]\]")


class DirectiveError(ValueError):
    """A directive that does not exist or has an impossible value; the message names it."""


def directives_in(text: str) -> dict[str, DirectiveValue]:
    """The directives written in `text`, unchecked; {} when there are none."""
    if "[[simulate" not in text:
        return {}
    found: dict[str, DirectiveValue] = {}
    for match in _DIRECTIVE.finditer(text):
        for word in match[1].split():
            key, equals, given = word.partition("=")
            found[key] = given if equals else "true"
    return found


def without_directives(text: str) -> str:
    """`text` as the caller would have said it without directives."""
    return _DIRECTIVE.sub("", text).strip() if "[[simulate" in text else text


def checked(given: Mapping[str, DirectiveValue]) -> Directives:
    """The directives of `given`, numbers and switches read from strings where need be. Raises DirectiveError."""
    if not given:
        return NO_FAULTS
    try:
        return msgspec.convert(dict(given), Directives, strict=False)
    except msgspec.ValidationError as error:
        raise DirectiveError(f"simulate: {error}") from None


class FaultRule(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A standing order: calls to this provider (and model) are answered so, `count` times (None: until deleted)."""

    provider: str
    directives: dict[str, DirectiveValue]
    model: str | None = None
    count: Annotated[int, Meta(ge=1)] | None = None


class FaultRules:
    """The standing rules, oldest first; the first that fits a call is the one it follows."""

    def __init__(self, providers: frozenset[str]) -> None:
        self._providers = providers | {ANY}
        self._rules: list[FaultRule] = []

    def add(self, rule: FaultRule) -> None:
        """Takes a rule in. Raises DirectiveError for wrong directives, an unknown provider, too many rules."""
        checked(rule.directives)
        if rule.provider not in self._providers:
            raise DirectiveError(f"simulate: there is no provider {rule.provider!r}")
        if len(self._rules) >= MOST_RULES:
            raise DirectiveError(f"simulate: there are already {MOST_RULES} rules")
        self._rules.append(rule)

    def listed(self) -> list[FaultRule]:
        """The rules still in force."""
        return list(self._rules)

    def clear(self) -> None:
        """Forgets every rule."""
        self._rules.clear()

    def take(self, provider: str, model: str) -> dict[str, DirectiveValue]:
        """The directives that a call has to follow by rule; uses the rule once."""
        for rule in self._rules:
            if rule.provider in (provider, ANY) and rule.model in (None, model):
                self._use(rule)
                return rule.directives
        return {}

    def _use(self, rule: FaultRule) -> None:
        if rule.count is None:
            return
        rule.count -= 1
        if rule.count == 0:
            self._rules.remove(rule)
