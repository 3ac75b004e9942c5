"""What Cohere does beside chat, by path."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from simulator.answers import Answer
from simulator.operations import Operation, members_of, ranked, ranking_asked, vector_of, vectors_asked
from simulator.prompts import Prompt
from simulator.refusals import Refusal

_SIZE = 1536
_DOCUMENTS_A_SEARCH = 100


def _embed(provider: str, _model: str, body: bytes) -> Prompt:
    told = members_of(body)
    texts = told.get("texts") or []
    if not texts or not told.get("input_type"):
        raise Refusal(400, "invalid request: valid input_type and texts must be provided")
    return vectors_asked(provider, told.get("model"), texts, told, "output_dimension", _SIZE)


def _write_embed(answer: Answer, _model: str) -> bytes:
    what = answer.asked
    return msgspec.json.encode(
        {
            "id": answer.digest,
            "embeddings": {"float": [vector_of(text, what["size"]) for text in what["texts"]]},
            "texts": what["texts"],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": answer.prompt_tokens}},
            "response_type": "embeddings_by_type",
        }
    )


def _rerank(provider: str, _model: str, body: bytes) -> Prompt:
    told = members_of(body)
    texts, query = told.get("documents") or [], told.get("query") or ""
    if not texts or not query:
        raise Refusal(400, "invalid request: query and documents must be provided")
    return ranking_asked(provider, told.get("model"), texts, query, told)


def _write_rerank(answer: Answer, _model: str) -> bytes:
    billed = {"search_units": -(-len(answer.asked["texts"]) // _DOCUMENTS_A_SEARCH)}
    return msgspec.json.encode(
        {
            "id": answer.digest,
            "results": ranked(answer),
            "meta": {"api_version": {"version": "2"}, "billed_units": billed},
        }
    )


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {"/v2/embed": Operation(_embed, _write_embed), "/v2/rerank": Operation(_rerank, _write_rerank)}
)
