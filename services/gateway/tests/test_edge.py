"""Which service owns a path, and what of a request and its answer is passed on."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.api.client import Client
from gateway.api.protocol import LINE, Line
from gateway.counts import Counts
from gateway.edge import OWNERS, Edge, _answer_headers, _request_headers, target_of


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/api/auth/login", "keyvault"),
        ("/api/v1/keys", "keyvault"),
        ("/api/v1/keys/key-1/rotate", "keyvault"),
        ("/api/v1/users/me/llm-credentials", "keyvault"),
        ("/api/v1/llm/providers/keys", "keyvault"),
        ("/api/v1/llm/models", "catalog-sync"),
        ("/api/v1/llm/models/m-1/prices", "catalog-sync"),
        ("/api/v1/billing/summary", "billing"),
        ("/api/v1/analytics/requests", "analytics"),
        ("/api/costs/summary", "analytics"),
        ("/v1/organization/costs", "analytics"),
        ("/v1/organization/usage/completions", "analytics"),
        ("/v1/chat/completions", None),
        ("/api/v1/keysmith", None),
        ("/api/v1", None),
        ("/api", None),
        ("/internal/v1/credentials/c-1/open", None),
        ("/metrics", None),
        ("", None),
    ],
)
def test_a_path_belongs_to_the_longest_prefix_that_ends_at_a_slash(path: str, owner: str | None) -> None:
    assert Edge.owner_of(path) == owner


def test_nothing_internal_has_an_owner() -> None:
    assert all(prefix.startswith(("/api/", "/v1/")) for prefix in OWNERS)


def request(headers: list[tuple[bytes, bytes]], **changes: Any) -> tuple[dict[str, Any], Client]:
    """A request as uvicorn describes it."""
    scope = {
        "type": "http", "method": "GET", "path": "/api/v1/keys", "raw_path": b"/api/v1/keys", "query_string": b"",
        "headers": headers, "client": ("10.1.2.3", 4711), "scheme": "http",
        "extensions": {LINE: Line()}, **changes,
    }  # fmt: skip

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    return scope, Client(scope, nothing, nothing, "req-1")


def passed(headers: list[tuple[bytes, bytes]]) -> list[bytes]:
    return _request_headers(*request(headers)).split(b"\r\n")[:-1]


def test_a_client_s_own_headers_are_passed_on() -> None:
    got = passed([(b"authorization", b"Bearer jwt"), (b"cookie", b"session_token=x"), (b"accept", b"*/*")])
    assert got[:3] == [b"authorization: Bearer jwt", b"cookie: session_token=x", b"accept: */*"]


def test_what_belongs_to_one_connection_is_not() -> None:
    hop = [b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"host", b"expect"]
    got = passed([*[(name, b"x") for name in hop], (b"content-length", b"5")])
    assert {entry.partition(b":")[0] for entry in got} == {
        b"x-request-id", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for",
    }  # fmt: skip


def test_what_connection_names_belongs_to_it() -> None:
    got = passed([(b"connection", b"close, X-Mine"), (b"x-mine", b"1"), (b"x-yours", b"2")])
    assert b"x-mine: 1" not in got
    assert b"x-yours: 2" in got


def test_who_calls_from_where_is_said_by_us_alone() -> None:
    forged = [
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-request-id", b"theirs"),
        (b"forwarded", b"for=1"),
        (b"host", b"a.example"),
    ]
    got = passed(forged)
    assert got == [
        b"x-request-id: req-1",
        b"x-forwarded-host: a.example",
        b"x-forwarded-proto: http",
        b"x-forwarded-for: 10.1.2.3",
    ]


def test_a_header_cannot_smuggle_another_in() -> None:
    with pytest.raises(ValueError):
        passed([(b"x-a", b"1\r\nauthorization: other")])


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({}, b"/api/v1/keys"),
        ({"query_string": b"a=1&b=%20"}, b"/api/v1/keys?a=1&b=%20"),
        ({"raw_path": b"/api/v1/keys/a%2Fb", "path": "/api/v1/keys/a/b"}, b"/api/v1/keys/a%2Fb"),
        ({"raw_path": b"", "path": "/api/v1/keys/a b"}, b"/api/v1/keys/a%20b"),
    ],
)
def test_the_target_is_passed_on_as_it_was_written(changes: dict[str, Any], target: bytes) -> None:
    assert target_of(request([], **changes)[0]) == target


def test_an_answer_keeps_all_but_what_is_said_anew() -> None:
    cookies = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    told = [
        (b"content-type", b"application/json"), (b"content-length", b"2"), (b"connection", b"close"), (b"date", b"now"),
        (b"server", b"x"), (b"x-request-id", b"r"), (b"x-tollgate-revision", b"keys=1"), (b"etag", b'"1"'), *cookies,
    ]  # fmt: skip
    assert _answer_headers(told) == [(b"etag", b'"1"'), *cookies]


def test_counts_are_written_as_prometheus_reads_them() -> None:
    counts = Counts({"keys": lambda: 3})
    counts.request("/v1/chat/completions", 200, 7)
    counts.request("/v1/chat/completions", 200, 130_000)
    counts.request("refused", 401, 0)
    counts.running = 2
    text = counts.text()
    assert text.endswith("\n")
    lines = dict(entry.rsplit(" ", 1) for entry in text.splitlines() if not entry.startswith("#"))
    assert lines['tollgate_gateway_requests_total{route="/v1/chat/completions",status="200"}'] == "2"
    assert lines['tollgate_gateway_requests_total{route="refused",status="401"}'] == "1"
    assert (lines["tollgate_gateway_keys"], lines["tollgate_gateway_running"]) == ("3", "2")
    assert lines['tollgate_gateway_request_seconds_bucket{le="0.005"}'] == "1"
    assert lines['tollgate_gateway_request_seconds_bucket{le="0.01"}'] == "2"
    assert lines['tollgate_gateway_request_seconds_bucket{le="120"}'] == "2"
    assert lines['tollgate_gateway_request_seconds_bucket{le="+Inf"}'] == "3"
    assert lines["tollgate_gateway_request_seconds_count"] == "3"
    assert float(lines["tollgate_gateway_request_seconds_sum"]) == 130.007
    kinds = [entry.split()[2] for entry in text.splitlines() if entry.startswith("# TYPE")]
    assert len(kinds) == len(set(kinds)) == 4
