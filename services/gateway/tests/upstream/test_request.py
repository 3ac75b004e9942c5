"""What is written to a provider is exactly what was asked for, and nothing can be smuggled into it."""

from __future__ import annotations

import pytest
from gateway.upstream.client import Origin, UpstreamRequest, header_block, split_url
from gateway.upstream.request import compose, host_line_of

ORIGIN = Origin("https", "api.example", 443)


@pytest.mark.parametrize(
    ("url", "origin", "target", "host"),
    [
        ("https://api.example/v1", Origin("https", "api.example", 443), b"/v1", b"api.example"),
        ("HTTPS://API.Example", Origin("https", "api.example", 443), b"/", b"api.example"),
        ("http://127.0.0.1:8090/x?y=%20", Origin("http", "127.0.0.1", 8090), b"/x?y=%20", b"127.0.0.1:8090"),
        ("http://[::1]:8080/", Origin("http", "::1", 8080), b"/", b"[::1]:8080"),
        ("https://[2001:DB8::0:1]/", Origin("https", "2001:db8::1", 443), b"/", b"[2001:db8::1]"),
        ("http://a_b.internal:80/", Origin("http", "a_b.internal", 80), b"/", b"a_b.internal"),
    ],
)
def test_a_url_is_split_into_origin_and_target(url, origin, target, host):
    assert split_url(url) == (origin, target)
    assert Origin.parse(url) == origin
    assert origin.host_header == host


@pytest.mark.parametrize(
    "url",
    [
        "", "api.example/v1", "ftp://api.example/", "file:///etc/passwd", "https://", "https:///v1",
        "https://user@api.example/", "https://user:secret@api.example/", "https://@api.example/",
        "https://api.example/#x", "https://api.example:0/", "https://api.example:99999/", "https://api.example:x/",
        "https://api.exa mple/", "https://api.example/a b", "https://api.example/\r\nx: y", "https://api\n.example/",
        "https://bücher.example/", "https://api..example\\@evil.example/", "https://[::1/", "https://[v1.x]/",
        "https://-api.example/", "https://%61pi.example/", "https://[fe80::1%25eth0]/",
    ],
)  # fmt: skip
def test_a_url_that_could_be_read_in_two_ways_is_refused(url):
    with pytest.raises(ValueError):
        split_url(url)


def _composed(**changes) -> bytes:
    request = UpstreamRequest(b"POST", ORIGIN, b"/v1", header_block([(b"A", b"b")]), b"{}")._replace(**changes)
    return b"|".join(part for part in compose(request, host_line_of(ORIGIN)) if part is not None)


def test_a_small_request_is_one_piece():
    assert _composed() == b"POST /v1 HTTP/1.1\r\nhost: api.example\r\nA: b\r\ncontent-length: 2\r\n\r\n{}"
    assert _composed(headers=[(b"A", b"b")]) == _composed()
    assert _composed(headers=b"", body=b"") == b"POST /v1 HTTP/1.1\r\nhost: api.example\r\ncontent-length: 0\r\n\r\n"
    assert _composed(headers=b"", body=None) == _composed(headers=b"", body=b"")
    assert _composed(method=b"GET", body=None) == b"GET /v1 HTTP/1.1\r\nhost: api.example\r\nA: b\r\n\r\n"


def test_a_large_body_is_not_copied():
    body = bytes(100_000)
    request = UpstreamRequest(b"POST", ORIGIN, b"/v1", b"", body)
    head, rest = compose(request, host_line_of(ORIGIN))
    assert head.endswith(b"content-length: 100000\r\n\r\n")
    assert rest is body


@pytest.mark.parametrize(
    "changes",
    [
        {"method": b"post"}, {"method": b"GET / HTTP/1.1\r\nx: y\r\n\r\nGET"}, {"method": b""}, {"method": b"CONNECT"},
        {"target": b""}, {"target": b"/a b"}, {"target": b"/a\r\nx: y"}, {"target": b"/\xff"}, {"target": b"/\x00"},
        {"headers": b"a: b"}, {"headers": b"\r\na: b\r\n"}, {"headers": b"a: b\r\n\r\nGET / HTTP/1.1\r\n"},
        {"headers": [(b"a", b"b\r\nc: d")]}, {"headers": [(b"a", b"b\nc")]}, {"headers": [(b"a", b"\x00")]},
        {"headers": [(b"a b", b"c")]}, {"headers": [(b"", b"c")]}, {"headers": [(b"a:", b"c")]},
        {"headers": [(b"Host", b"evil")]}, {"headers": [(b"content-length", b"0")]},
        {"headers": [(b"Transfer-Encoding", b"chunked")]}, {"headers": [(b"connection", b"close")]},
    ],
)  # fmt: skip
def test_a_malformed_request_is_refused_without_naming_its_values(changes):
    with pytest.raises(ValueError) as caught:
        _composed(**changes)
    assert "evil" not in str(caught.value)
    assert "GET" not in str(caught.value)


async def test_a_malformed_request_takes_no_connection(client, patient):
    with pytest.raises(ValueError):
        await client.send(UpstreamRequest(b"GET", ORIGIN, b"/a b"), patient)
    assert client.stats().created == 0
    assert client.stats().open == 0
