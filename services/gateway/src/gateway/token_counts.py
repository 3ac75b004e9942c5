"""How many input tokens a call would have, asked of a provider that counts in the client's own dialect.

Providers count for nothing, so nothing is held and nothing recorded; who cannot be asked leaves an estimate to the door.
"""

from __future__ import annotations

from common.clock import Clock

from gateway.providers.errors import ProviderFailed
from gateway.running import Running
from gateway.upstream.attempt import open_attempt
from gateway.upstream.client import Deadlines, UpstreamClient, UpstreamError

_MAX_BYTES = 4096


async def count_tokens(call: Running, upstream: UpstreamClient, deadlines: Deadlines, clock: Clock) -> bytes | None:
    """The answer of the call's first deployment that speaks the client's dialect; None when none does, or it fails."""
    request = call.request
    place = next((one for one in call.plan.deployments if one.provider.wire == request.dialect), None)
    if place is None:
        return None
    wire, members, _ = call.spoken_to(place.provider)
    sent = wire.encode_request(members, place.provider, place.model_name, 0, False)
    sent = sent._replace(path=f"{sent.path}/count_tokens", headers=request.headers)
    try:
        response = await open_attempt(upstream, place, sent, call.log.request_id, deadlines, clock, streamed=False)
        async with response:
            return await response.body(_MAX_BYTES)
    except (ProviderFailed, UpstreamError):
        return None
