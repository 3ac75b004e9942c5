"""What can be asked of a provider beside chat, one row an operation: its name, and how each wire does it. Pure.

An operation is one request and one answer. All else that happens to a call (limits, holds, routing, fallback, the event)
is the same as for chat, so none of it is here. A provider does an operation when its row in the registry names the
capability and its wire has a verb for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from common.providers.registry import Capability, ProviderRow
from common.providers.registry import Wire as WireName

from gateway.providers.errors import untranslatable
from gateway.providers.languages import WIRES
from gateway.providers.wire import Members, Verb, Wire
from gateway.providers.wires.bedrock import embeddings as bedrock_embeddings
from gateway.providers.wires.cohere import embeddings as cohere_embeddings
from gateway.providers.wires.cohere import rerank as cohere_rerank
from gateway.providers.wires.gemini import embeddings as gemini_embeddings
from gateway.providers.wires.gemini import images as gemini_images
from gateway.providers.wires.gemini import speech as gemini_speech
from gateway.providers.wires.openai import embeddings as openai_embeddings
from gateway.providers.wires.openai import passing, transcriptions
from gateway.providers.wires.responses import compaction

_YES = (b"true", b"True")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `name` is what events call it; `words` what people do."""

    name: str
    words: str
    capability: Capability
    verbs: Mapping[WireName, Verb]

    def is_done_by(self, provider: ProviderRow) -> bool:
        """Whether a provider does this at all."""
        return self.capability in provider.capabilities and provider.wire in self.verbs

    def wire(self, members: Members, provider: ProviderRow) -> Wire:
        """The provider's wire with this operation in chat's place, for one request. Raises ProviderFailed."""
        if not self.is_done_by(provider):
            raise untranslatable(f"{provider.display_name} does not do {self.words}", "model")
        verb = self.verbs[provider.wire]
        read = verb.decode_stream
        if read is None and "stream" in members and bytes(members["stream"]) in _YES:
            raise untranslatable(f"{provider.display_name} answers {self.words} whole", "stream")
        wire = WIRES[provider.wire]
        return replace(
            wire,
            encode_request=lambda sent, row, model, _tokens, _streamed: verb.encode(sent, row, model),
            decode_response=lambda body, row, created, model: verb.decode(body, members, row, created, model),
            decode_stream=wire.decode_stream if read is None else lambda row, _wants, _created, _model: read(row),
        )


EMBEDDINGS = Operation(
    "embeddings",
    "embeddings",
    "embeddings",
    MappingProxyType(
        {
            "openai": Verb(openai_embeddings.encode, openai_embeddings.decode),
            "gemini": Verb(gemini_embeddings.encode, gemini_embeddings.decode),
            "cohere": Verb(cohere_embeddings.encode, cohere_embeddings.decode),
            "bedrock": Verb(bedrock_embeddings.encode, bedrock_embeddings.decode),
        }
    ),
)
MODERATIONS = Operation("moderations", "moderation", "moderation", MappingProxyType({"openai": passing.MODERATIONS}))
RERANK = Operation(
    "rerank",
    "rankings",
    "rerank",
    MappingProxyType({"openai": passing.RERANK, "cohere": Verb(cohere_rerank.encode, cohere_rerank.decode)}),
)
IMAGES = Operation(
    "images",
    "pictures",
    "image",
    MappingProxyType({"openai": passing.IMAGES, "gemini": Verb(gemini_images.encode, gemini_images.decode)}),
)
SPEECH = Operation(
    "speech",
    "speech",
    "speech",
    MappingProxyType({"openai": passing.SPEECH, "gemini": Verb(gemini_speech.encode, gemini_speech.decode)}),
)
TRANSCRIPTIONS = Operation(
    "transcriptions", "transcriptions", "transcription", MappingProxyType({"openai": transcriptions.TRANSCRIPTIONS})
)
COMPACTION = Operation("compaction", "compaction", "chat", MappingProxyType({"openai": compaction.COMPACTION}))
TRANSLATIONS = Operation(
    "translations", "translations of speech", "translation", MappingProxyType({"openai": transcriptions.TRANSLATIONS})
)
