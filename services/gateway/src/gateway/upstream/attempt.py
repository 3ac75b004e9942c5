"""One attempt at a provider: the request out, the answer's head back, every failure as `ProviderFailed`.

The only place that knows both the HTTP client and the wires' words for failure. What comes back from `open` is an answer
with a good status whose body is still to be read.
"""

from __future__ import annotations

from common.clock import Clock
from common.providers.registry import ProviderRow

from gateway.providers.errors import ProviderFailed
from gateway.providers.languages import WIRES
from gateway.providers.wire import Outgoing
from gateway.routing.plan import Deployment
from gateway.upstream.client import (
    ConnectFailed,
    Deadlines,
    UpstreamClient,
    UpstreamError,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamTimeout,
    header_block,
)

_MAX_ERROR_BYTES = 64 * 1024


async def open_attempt(
    client: UpstreamClient,
    deployment: Deployment,
    outgoing: Outgoing,
    request_id: str,
    deadlines: Deadlines,
    clock: Clock,
    *,
    streamed: bool,
    method: bytes = b"POST",
) -> UpstreamResponse:
    """Send a request; the answer, its status 200 and of the expected kind. Raises ProviderFailed."""
    target = deployment.path + outgoing.path.encode()
    headers = _with(deployment.headers, outgoing.headers) + b"x-client-request-id: %b\r\n" % request_id.encode()
    if deployment.sign is not None:
        headers += header_block(deployment.sign(target.decode(), outgoing.body, clock.now()))
    request = UpstreamRequest(method, deployment.origin, target, headers, outgoing.body)
    try:
        response = await client.send(request, deadlines)
        if response.status != 200:
            raise await _refused(response, deployment.provider)
        if streamed and not (response.header(b"content-type") or b"").startswith(
            WIRES[deployment.provider.wire].stream_type
        ):
            response.abort()
            raise ProviderFailed("broken", f"{deployment.provider.display_name} did not answer with a stream")
        return response
    except UpstreamError as error:
        raise failure_of(error, deployment.provider) from error


def _with(block: bytes, own: bytes) -> bytes:
    """A block of header lines and a call's own; of a name in both the call's own line counts."""
    if not own:
        return block
    named = {line.partition(b":")[0] for line in own.split(b"\r\n") if line}
    kept = [line for line in block.split(b"\r\n") if line and line.partition(b":")[0] not in named]
    return b"".join(line + b"\r\n" for line in kept) + own


def failure_of(error: UpstreamError, provider: ProviderRow) -> ProviderFailed:
    """What a failure of the connection means for the call."""
    name = provider.display_name
    if isinstance(error, UpstreamTimeout):
        return ProviderFailed("timeout", f"{name} did not answer within {error.seconds:g} s", was_sent=error.sent)
    if isinstance(error, ConnectFailed):
        return ProviderFailed("unreachable", f"{name} cannot be reached", was_sent=False)
    return ProviderFailed("broken", f"{name} broke off the answer", was_sent=error.sent)


async def _refused(response: UpstreamResponse, provider: ProviderRow) -> ProviderFailed:
    try:
        body = await response.body(_MAX_ERROR_BYTES)
    except UpstreamError:
        body = b""
    return WIRES[provider.wire].decode_error(response.status, body, provider, _retry_after_ms(response))


def _retry_after_ms(response: UpstreamResponse) -> int | None:
    """The provider's `retry-after-ms` or `retry-after` (seconds) in milliseconds; a date or nonsense is as none."""
    for name, factor in ((b"retry-after-ms", 1), (b"retry-after", 1000)):
        try:
            value = float(response.header(name) or b"")
        except ValueError:
            continue
        if 0 < value < 86_400_000:
            return int(value * factor)
    return None
