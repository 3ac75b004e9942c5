"""What comes back is what the provider sent: whole, once, and never complete-looking when it was not."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import zlib

import pytest
from gateway.upstream.client import (
    UpstreamCut,
    UpstreamProtocolError,
    UpstreamRequest,
    UpstreamTooLarge,
)

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world"
EXPECTED = b"hello world"
MANY_WAYS = {
    "content-length": SIZED,
    "chunked": CHUNKED + b"5\r\nhello\r\n1;note=x\r\n \r\n5\r\nworld\r\n0\r\n\r\n",
    "chunked with trailers": CHUNKED + b"b\r\nhello world\r\n0\r\nx-sum: 1\r\n\r\n",
    "after interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + SIZED,
    "after empty lines": b"\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\r\n" + SIZED,
    "no reason phrase": b"HTTP/1.1 200\r\nContent-Length: 11\r\n\r\nhello world",
}


def saying(*pieces: bytes, then_close: bool = False):
    async def script(talk):
        while await talk.listen():
            await talk.say(*pieces)
            if then_close:
                return

    return script


async def collect(response, seen):
    async for piece in response:
        seen.append(piece)


@pytest.mark.parametrize("way", MANY_WAYS)
async def test_an_answer_arrives_whole_and_its_connection_is_used_again(serve, client, patient, way):
    provider = await serve(saying(MANY_WAYS[way]))
    for _ in range(3):
        response = await client.send(provider.ask(), patient)
        assert (response.status, response.framed, await response.body(1000)) == (200, True, EXPECTED)
    assert len(provider.talks) == 1
    assert client.stats().reused == 2


@pytest.mark.parametrize("way", MANY_WAYS)
async def test_an_answer_that_comes_byte_by_byte_is_the_same(serve, client, patient, way):
    raw = MANY_WAYS[way]
    provider = await serve(saying(*[raw[at : at + 1] for at in range(len(raw))]))
    for _ in range(2):
        response = await client.send(provider.ask(), patient)
        assert b"".join([piece async for piece in response]) == EXPECTED
    assert client.stats().reused == 1


@pytest.mark.parametrize("way", MANY_WAYS)
async def test_an_answer_cut_in_two_at_any_place_is_the_same(serve, client, patient, way):
    raw = MANY_WAYS[way]
    cuts = iter(range(1, len(raw)))

    async def script(talk):
        while await talk.listen():
            at = next(cuts)
            await talk.say(raw[:at], raw[at:])

    provider = await serve(script)
    for _ in range(1, len(raw)):
        response = await client.send(provider.ask(), patient)
        assert await response.body(1000) == EXPECTED


async def test_the_request_is_on_the_wire_as_it_was_given(serve, client, patient):
    provider = await serve(saying(SIZED))
    request = UpstreamRequest(b"POST", provider.origin, b"/v1/x?y=1", [(b"Authorization", b"Bearer s")], b'{"a": 1}')
    async with await client.send(request, patient) as response:
        await response.body(1000)
    async with await client.send(provider.ask(method=b"GET", body=None), patient) as response:
        await response.body(1000)
    first, second = provider.requests
    assert first.head == (
        b"POST /v1/x?y=1 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nAuthorization: Bearer s\r\ncontent-length: 8\r\n\r\n"
        % provider.origin.port
    )
    assert first.body == b'{"a": 1}'
    assert second.head == b"GET / HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n" % provider.origin.port


async def test_header_names_are_lower_case_and_repeated_headers_are_kept(serve, client, patient):
    provider = await serve(
        saying(b"HTTP/1.1 429 No\r\nX-A:  one \r\nRetry-After: 7\r\nx-a:two\r\nContent-Length: 0\r\n\r\n")
    )
    response = await client.send(provider.ask(), patient)
    assert response.status == 429
    assert response.header(b"retry-after") == b"7"
    assert response.header(b"after") is None
    assert response.headers == [(b"x-a", b"one"), (b"retry-after", b"7"), (b"x-a", b"two"), (b"content-length", b"0")]


async def test_chunks_come_one_by_one_as_the_provider_sends_them(serve, client, patient):
    go_on = asyncio.Event()

    async def script(talk):
        await talk.listen()
        await talk.say(CHUNKED)
        for number in range(3):
            await talk.say(b"6\r\nchunk%d\r\n" % number)
            await go_on.wait()
            go_on.clear()
        await talk.say(b"0\r\n\r\n")

    provider = await serve(script)
    response = await client.send(provider.ask(), patient)
    seen = []
    async for piece in response:
        seen.append(piece)
        go_on.set()
    assert seen == [b"chunk0", b"chunk1", b"chunk2"]


async def test_an_answer_without_framing_ends_with_the_connection_and_says_so(serve, client, patient):
    provider = await serve(saying(b"HTTP/1.1 200 OK\r\n\r\nhello ", b"world", then_close=True))
    response = await client.send(provider.ask(), patient)
    assert not response.framed
    assert await response.body(1000) == EXPECTED
    assert client.stats().open == 0


async def test_an_answer_without_framing_that_is_reset_is_cut(serve, client, patient):
    async def script(talk):
        await talk.listen()
        await talk.say(b"HTTP/1.1 200 OK\r\n\r\nhello ")
        linger = struct.pack("ii", 1, 0)
        talk.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await asyncio.sleep(0.05)
        talk.writer.transport.abort()

    provider = await serve(script)
    response = await client.send(provider.ask(), patient)
    assert await response.read() == b"hello "
    with pytest.raises(UpstreamCut):
        await response.read()


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nhello world",
        CHUNKED + b"b\r\nhello world\r\n",
        CHUNKED + b"c\r\nhello world",
    ],
)
async def test_a_cut_answer_gives_what_came_and_then_raises(serve, client, patient, raw):
    provider = await serve(saying(raw, then_close=True))
    response = await client.send(provider.ask(), patient)
    seen: list[bytes] = []
    with pytest.raises(UpstreamCut) as caught:
        await collect(response, seen)
    assert b"".join(seen) == EXPECTED
    assert caught.value.sent
    with pytest.raises(UpstreamCut):
        await response.body(1000)
    response = await client.send(provider.ask(), patient)
    with pytest.raises(UpstreamCut):
        await response.body(1000)
    assert client.stats().open == 0


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\ncontent-le"])
async def test_a_connection_that_closes_before_the_headers_are_complete_is_cut(serve, client, patient, raw):
    provider = await serve(saying(raw, then_close=True))
    with pytest.raises(UpstreamCut) as caught:
        await client.send(provider.ask(), patient)
    assert caught.value.sent
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"<html>502</html>\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"ICE/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 700 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 0\r\n\r\n",
    ],
)
async def test_an_answer_that_is_not_plain_http_is_refused_and_its_connection_closed(serve, client, patient, raw):
    provider = await serve(saying(raw))
    with pytest.raises(UpstreamProtocolError) as caught:
        await client.send(provider.ask(), patient)
    assert caught.value.sent
    assert await provider.talks[0].hung_up()
    assert client.stats().open == 0


async def test_a_malformed_chunk_in_the_middle_is_a_protocol_error_after_the_good_ones(serve, client, patient):
    provider = await serve(saying(CHUNKED + b"b\r\nhello world\r\n", b"zz\r\nboom\r\n"))
    response = await client.send(provider.ask(), patient)
    assert await response.read() == EXPECTED
    with pytest.raises(UpstreamProtocolError):
        await response.read()
    assert client.stats().open == 0


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
async def test_answers_that_have_no_body_end_with_their_headers(serve, client, patient, method, status):
    length = b"" if status == 204 else b"content-length: 11\r\n"
    provider = await serve(saying(b"HTTP/1.1 %d Fine\r\n%b\r\n" % (status, length)))
    for _ in range(3):
        response = await client.send(provider.ask(method=method, body=None), patient)
        assert (response.status, response.framed, await response.body(5)) == (status, True, b"")
    assert client.stats().reused == 2


async def test_a_redirect_is_an_answer_and_is_not_followed(serve, client, patient):
    provider = await serve(
        saying(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")
    )
    response = await client.send(provider.ask(), patient)
    assert response.status == 302
    assert len(provider.requests) == 1


@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 103 Early Hints\r\nlink: %b\r\n\r\n" % (b"x" * 500)])
async def test_a_header_block_without_end_is_too_large(serve, client, patient, interim):
    async def script(talk):
        await talk.listen()
        await talk.say(b"" if interim else b"HTTP/1.1 200 OK\r\n")
        while not talk.writer.is_closing():
            await talk.say((interim or b"x-filler: %b\r\n" % (b"v" * 900)) * 20)

    provider = await serve(script)
    with pytest.raises(UpstreamTooLarge):
        await client.send(provider.ask(), patient)
    assert client.stats().open == 0


async def test_a_header_block_over_the_limit_is_too_large_even_in_one_piece(serve, make_client, patient):
    client = make_client(header_bytes=1000)
    provider = await serve(saying(b"HTTP/1.1 200 OK\r\nx: %b\r\ncontent-length: 2\r\n\r\nok" % (b"v" * 1000)))
    with pytest.raises(UpstreamTooLarge):
        await client.send(provider.ask(), patient)


@pytest.mark.parametrize("endless", [b"1;" + b"x" * 1000, b"1\r\na\r\n0\r\n" + b"x-trailer: y\r\n" * 50])
async def test_chunk_extensions_and_trailers_without_end_are_too_large(serve, client, patient, endless):
    async def script(talk):
        await talk.listen()
        await talk.say(CHUNKED + endless)
        while not talk.writer.is_closing():
            await talk.say(b"x" * 1000 if endless.startswith(b"1;") else b"x-trailer: y\r\n" * 50)

    provider = await serve(script)
    response = await client.send(provider.ask(), patient)
    with pytest.raises(UpstreamTooLarge):
        await response.body(1000)


@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n", CHUNKED + b"b\r\nhello world\r\n"]
)
async def test_a_body_over_the_callers_limit_is_too_large_and_closes_the_connection(serve, client, patient, raw):
    provider = await serve(saying(raw))
    response = await client.send(provider.ask(), patient)
    with pytest.raises(UpstreamTooLarge):
        await response.body(10)
    assert await provider.talks[0].hung_up()
    response = await client.send((await serve(saying(SIZED))).ask(), patient)
    with pytest.raises(UpstreamTooLarge):
        await response.body(10)


def _raw_deflate(plain: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(plain) + squeezer.flush()


@pytest.mark.parametrize(
    ("encoding", "squeezed"),
    [
        (b"gzip", gzip.compress(EXPECTED, mtime=0)),
        (b"GZIP", gzip.compress(b"hello ", mtime=0) + gzip.compress(b"world", mtime=0)),
        (b"x-gzip", gzip.compress(b"", mtime=0) * 50 + gzip.compress(EXPECTED, mtime=0)),
        (b"deflate", zlib.compress(EXPECTED)),
        (b"deflate", _raw_deflate(EXPECTED)),
        (b"identity", EXPECTED),
    ],
)
async def test_a_compressed_answer_is_decompressed_wherever_it_is_split(serve, client, patient, encoding, squeezed):
    pieces = [b"1\r\n%b\r\n" % squeezed[at : at + 1] for at in range(len(squeezed))]
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: %b\r\ntransfer-encoding: chunked\r\n\r\n" % encoding
    slow = await serve(saying(head, *pieces, b"0\r\n\r\n"))
    fast = await serve(saying(b"".join([head, *pieces, b"0\r\n\r\n"])))
    for provider in (slow, fast, fast):
        response = await client.send(provider.ask(), patient)
        assert await response.body(1000) == EXPECTED
        assert response.header(b"content-encoding") == (b"identity" if encoding == b"identity" else None)
    assert client.stats().reused == 1


async def test_a_compressed_answer_that_lacks_its_end_is_cut_although_its_framing_is_complete(serve, client, patient):
    squeezed = gzip.compress(EXPECTED, mtime=0)[:-4]
    provider = await serve(
        saying(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b" % (len(squeezed), squeezed))
    )
    response = await client.send(provider.ask(), patient)
    with pytest.raises(UpstreamCut):
        await response.body(1000)


async def test_a_damaged_compressed_answer_is_a_protocol_error(serve, client, patient):
    provider = await serve(
        saying(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 11\r\n\r\nhello world")
    )
    response = await client.send(provider.ask(), patient)
    with pytest.raises(UpstreamProtocolError):
        await response.body(1000)


async def test_a_gzip_bomb_is_refused_before_it_has_grown(serve, client, patient):
    bomb = gzip.compress(bytes(200_000_000), compresslevel=6)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % (len(bomb) + 1)
    provider = await serve(saying(head, bomb))
    response = await client.send(provider.ask(), patient)
    seen: list[bytes] = []
    with pytest.raises(UpstreamTooLarge):
        await collect(response, seen)
    assert sum(map(len, seen)) <= 2_000_000
    assert client.stats().open == 0
    response = await client.send(provider.ask(), patient)
    with pytest.raises(UpstreamTooLarge):
        await response.body(500_000)
