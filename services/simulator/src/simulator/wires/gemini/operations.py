"""What Google does beside chat: batchEmbedContents."""

from __future__ import annotations

import msgspec

from simulator.answers import Answer
from simulator.operations import Operation, asked, members_of, vector_of
from simulator.prompts import Prompt
from simulator.refusals import Refusal

_SIZE = 3072


def _embed(provider: str, model: str, body: bytes) -> Prompt:
    requests = members_of(body).get("requests") or []
    if not requests or any(one.get("model") != f"models/{model}" for one in requests):
        raise Refusal(400, "* BatchEmbedContentsRequest.requests: each must name the model of the path")
    texts = ["".join(part.get("text") or "" for part in one["content"]["parts"]) for one in requests]
    return asked(provider, model, texts, {"texts": texts, "size": requests[0].get("outputDimensionality") or _SIZE})


def _write_embed(answer: Answer, _model: str) -> bytes:
    vectors = [{"values": vector_of(text, answer.asked["size"])} for text in answer.asked["texts"]]
    counted = [{"modality": "TEXT", "tokenCount": answer.prompt_tokens}]
    usage = {"promptTokenCount": answer.prompt_tokens, "promptTokenDetails": counted}
    return msgspec.json.encode({"embeddings": vectors, "usageMetadata": usage})


EMBED = Operation(_embed, _write_embed)
