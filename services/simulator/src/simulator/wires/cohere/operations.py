"""What Cohere does beside chat, by path."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from simulator.answers import Answer
from simulator.operations import Operation, asked, members_of, vector_of
from simulator.prompts import Prompt
from simulator.refusals import Refusal

_SIZE = 1536
_DOCUMENTS_A_SEARCH = 100


def _embed(provider: str, _model: str, body: bytes) -> Prompt:
    told = members_of(body)
    texts = told.get("texts") or []
    if not texts or not told.get("input_type"):
        raise Refusal(400, "invalid request: valid input_type and texts must be provided")
    return asked(provider, told.get("model"), texts, {"texts": texts, "size": told.get("output_dimension") or _SIZE})


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
    what = {"texts": texts, "query": query, "most": told.get("top_n") or len(texts)}
    return asked(provider, told.get("model"), [*texts, query], what)


def _write_rerank(answer: Answer, _model: str) -> bytes:
    """Documents by how many of the query's words they have, best first."""
    words, texts = set(answer.asked["query"].lower().split()), answer.asked["texts"]
    scores = [len(words & set(text.lower().split())) / len(words) for text in texts]
    order = sorted(range(len(texts)), key=lambda at: (-scores[at], at))[: answer.asked["most"]]
    billed = {"search_units": -(-len(texts) // _DOCUMENTS_A_SEARCH)}
    return msgspec.json.encode(
        {
            "id": answer.digest,
            "results": [{"index": at, "relevance_score": scores[at]} for at in order],
            "meta": {"api_version": {"version": "2"}, "billed_units": billed},
        }
    )


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {"/v2/embed": Operation(_embed, _write_embed), "/v2/rerank": Operation(_rerank, _write_rerank)}
)
