"""Where a connection goes: names, checked addresses, TLS under the name, and the race between addresses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time

import pytest
from common.testing.certificates import write_certificate
from gateway.upstream.client import ClientLimits, ConnectFailed, UpstreamClient

NAME = "provider.test"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for NAME and 127.0.0.1, with its key, as one PEM file."""
    return write_certificate(tmp_path_factory.mktemp("tls") / "provider.pem", [NAME], ["127.0.0.1"])


@pytest.fixture
def provider_tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.asked_names = []
    context.sni_callback = lambda _, name, __: context.asked_names.append(name)
    return context


@pytest.fixture
def trusting(certificate):
    return ssl.create_default_context(cafile=certificate)


async def polite(talk):
    while await talk.listen():
        await talk.answer(b"ok")


def to(*addresses):
    async def resolve(origin):
        resolve.asked.append(origin)
        return addresses

    resolve.asked = []
    return resolve


async def test_tls_checks_the_name_while_the_connection_goes_to_the_checked_address(
    make_client, serve, patient, provider_tls, trusting
):
    provider = await serve(polite, provider_tls, NAME)
    resolve = to("127.0.0.1")
    client = make_client(trusting, resolve)
    for _ in range(3):
        response = await client.send(provider.ask(), patient)
        assert await response.body(10) == b"ok"
    assert resolve.asked == [provider.origin]
    assert provider_tls.asked_names == [NAME]
    assert provider.talks[0].writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    assert b"\r\nhost: provider.test:%d\r\n" % provider.origin.port in provider.requests[0].head
    assert client.stats().reused == 2


async def test_large_bodies_and_leaving_early_work_over_tls(make_client, serve, patient, provider_tls, trusting):
    async def script(talk):
        received = await talk.listen()
        await talk.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await talk.say(b"%x\r\n%b\r\n" % (len(received.body), received.body))
        await talk.hear_end()

    provider = await serve(script, provider_tls)
    client = make_client(trusting)
    body = bytes(range(256)) * 8_000
    response = await client.send(provider.ask(body=body), patient)
    seen = b""
    while len(seen) < len(body):
        seen += await response.read()
    assert seen == body
    response.abort()
    assert await provider.talks[0].hung_up()


async def test_a_certificate_that_nobody_vouches_for_is_refused(serve, patient, provider_tls):
    provider = await serve(polite, provider_tls)
    client = UpstreamClient(ClientLimits())
    with pytest.raises(ConnectFailed, match="not trusted") as caught:
        await client.send(provider.ask(), patient)
    assert not caught.value.sent
    assert client.stats().open == 0
    await client.close()
    assert provider.requests == []


async def test_a_certificate_for_another_name_is_refused(make_client, serve, patient, provider_tls, trusting):
    provider = await serve(polite, provider_tls, "other.test")
    with pytest.raises(ConnectFailed, match="not trusted"):
        await make_client(trusting, to("127.0.0.1")).send(provider.ask(), patient)


async def test_a_refusing_resolver_is_heard_before_any_connection(make_client, serve, patient):
    async def guard(origin):
        raise ConnectFailed("address not allowed")

    provider = await serve(polite)
    with pytest.raises(ConnectFailed, match="not allowed"):
        await make_client(resolve=guard).send(provider.ask(), patient)
    with pytest.raises(ConnectFailed, match="no address"):
        await make_client(resolve=to()).send(provider.ask(), patient)
    assert provider.talks == []


async def test_a_name_is_resolved_by_the_system_when_there_is_no_guard(client, serve, patient):
    provider = await serve(polite, None, "localhost")
    response = await client.send(provider.ask(), patient)
    assert await response.body(10) == b"ok"


async def test_a_name_that_does_not_exist_is_a_failed_connection(client, serve, patient):
    provider = await serve(polite, None, "no-such-host.invalid")
    with pytest.raises(ConnectFailed):
        await client.send(provider.ask(), patient)


async def test_the_next_address_is_tried_when_one_refuses(make_client, serve, patient):
    provider = await serve(polite)
    response = await make_client(resolve=to("127.0.0.9", "::1", "127.0.0.1")).send(provider.ask(), patient)
    assert await response.body(10) == b"ok"


async def test_an_address_that_does_not_answer_delays_the_next_by_a_quarter_of_a_second_only(
    make_client, serve, patient
):
    provider = await serve(polite)
    with contextlib.ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.9", provider.origin.port))
        full.listen(0)
        for _ in range(3):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())  # fills the queue: the next one gets no answer at all
        started = time.monotonic()
        response = await make_client(resolve=to("127.0.0.9", "127.0.0.1")).send(provider.ask(), patient)
        assert await response.body(10) == b"ok"
        assert 0.2 < time.monotonic() - started < 2
        await asyncio.sleep(0.01)
        assert not [task for task in asyncio.all_tasks() if "upstream/dial.py" in str(task)]


async def test_when_every_address_refuses_the_connection_has_failed(make_client, serve, patient):
    provider = await serve(polite)
    client = make_client(resolve=to("127.0.0.8", "127.0.0.9"))
    with pytest.raises(ConnectFailed) as caught:
        await client.send(provider.ask(), patient)
    assert not caught.value.sent
    assert client.stats().open == 0
