"""Compaction by the `responses` wire: a long conversation made short, in a form that OpenAI alone can read. It passes."""

from __future__ import annotations

import msgspec
from common.providers.registry import HAS_RESPONSES, ProviderRow

from gateway.providers.errors import ProviderFailed, untranslatable
from gateway.providers.wire import Answer, Members, Outgoing, Verb
from gateway.providers.wires.responses.failures import failure_of
from gateway.providers.wires.responses.relay import relay_request
from gateway.providers.wires.responses.usage import usage_of


def encode(members: Members, provider: ProviderRow, model: str) -> Outgoing:
    """The client's own request. Raises ProviderFailed for providers that do not have this API."""
    if HAS_RESPONSES not in provider.flags:
        raise untranslatable(f"{provider.display_name} cannot compact a conversation", "model")
    sent = relay_request(members, provider, model, 0, False)
    return sent._replace(path=f"{sent.path}/compact")


def decode(body: bytes, _members: Members, provider: ProviderRow, _created: int, _model: str) -> Answer:
    """The answer as it came, and what it used. Raises ProviderFailed for what is none."""
    try:
        told = msgspec.json.decode(body)
        if isinstance(told.get("error"), dict):
            raise failure_of(told["error"], provider)
        usage, raw = usage_of({"usage": told["usage"]})
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no compaction") from error
    return Answer(body, usage, raw, None, told.get("model"), None)


COMPACTION = Verb(encode, decode)
