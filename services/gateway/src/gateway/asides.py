"""What is asked of a provider beside calls: how many tokens an input has, and responses that it keeps itself.

Providers take nothing for these, so nothing is held and nothing recorded. Who cannot be asked for a count leaves an
estimate to the door.
"""

from __future__ import annotations

from dataclasses import dataclass

from common.clock import Clock

from gateway.providers.errors import ProviderFailed
from gateway.providers.languages import RELAYED
from gateway.providers.wire import Outgoing
from gateway.routing.plan import Deployment
from gateway.running import Running
from gateway.upstream.attempt import failure_of, open_attempt
from gateway.upstream.client import Deadlines, UpstreamClient, UpstreamError

_MAX_COUNT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Asides:
    """Asks providers."""

    upstream: UpstreamClient
    deadlines: Deadlines
    clock: Clock
    max_answer_bytes: int

    async def count_tokens(self, call: Running, path: str) -> bytes | None:
        """The answer of the call's first deployment that speaks the client's dialect, at a path behind that of calls;
        None when none does, or it fails."""
        request = call.request
        relay = RELAYED[request.dialect]
        place = next((one for one in call.plan.deployments if relay.leads_to(one.provider)), None)
        if place is None:
            return None
        wire, members, _ = call.spoken_to(place)
        sent = wire.encode_request(members, place.provider, place.model_name, 0, False)
        sent = sent._replace(path=sent.path + path, headers=request.headers)
        try:
            return await self._ask(place, sent, call.log.request_id, b"POST", _MAX_COUNT_BYTES)
        except ProviderFailed:
            return None

    async def ask(self, place: Deployment, method: bytes, path: str, request_id: str) -> bytes:
        """What a provider answers to a request without a body. Raises ProviderFailed."""
        return await self._ask(place, Outgoing(path, b""), request_id, method, self.max_answer_bytes)

    async def _ask(self, place: Deployment, sent: Outgoing, request_id: str, method: bytes, most: int) -> bytes:
        try:
            response = await open_attempt(
                self.upstream, place, sent, request_id, self.deadlines, self.clock, streamed=False, method=method
            )
            async with response:
                return await response.body(most)
        except UpstreamError as error:
            raise failure_of(error, place.provider) from error
