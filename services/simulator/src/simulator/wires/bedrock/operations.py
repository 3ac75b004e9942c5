"""What Bedrock does beside chat: InvokeModel of models that embed, each family in its own words."""

from __future__ import annotations

import msgspec

from simulator.answers import Answer
from simulator.operations import Operation, members_of, vector_of, vectors_asked
from simulator.prompts import Prompt
from simulator.refusals import Refusal

_SIZE = 1024


def _invoke(provider: str, model: str, body: bytes) -> Prompt:
    told = members_of(body)
    if "inputText" in told:
        return vectors_asked(provider, model, [told["inputText"]], told, "dimensions", _SIZE)
    if "texts" in told and told.get("input_type"):
        return vectors_asked(provider, model, told["texts"], told, "output_dimension", _SIZE)
    params = told.get("singleEmbeddingParams") or {}
    text = (params.get("text") or {}).get("value")
    if not text:
        raise Refusal(400, "Malformed input request, please reformat your input and try again.")
    return vectors_asked(provider, model, [text], params, "embeddingDimension", _SIZE)


def _write_invoke(answer: Answer, model: str) -> bytes:
    vectors = [vector_of(text, answer.asked["size"]) for text in answer.asked["texts"]]
    if "titan" in model:
        return msgspec.json.encode({"embedding": vectors[0], "inputTextTokenCount": answer.prompt_tokens})
    if "cohere" in model:
        told = {"embeddings": {"float": vectors}, "response_type": "embeddings_by_type"}
        return msgspec.json.encode({"id": answer.digest, **told})
    return msgspec.json.encode({"embeddings": [{"embedding": vectors[0], "embeddingType": "TEXT"}]})


INVOKE = Operation(_invoke, _write_invoke)
