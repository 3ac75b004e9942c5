"""Rankings of the `cohere` wire: v2/rerank."""

from __future__ import annotations

from typing import Any

import msgspec
from common.providers.registry import ProviderRow
from common.usage import Usage

from gateway.providers.chat import Asked
from gateway.providers.counting import count_of
from gateway.providers.errors import ProviderFailed, untranslatable
from gateway.providers.wire import Answer, Members, Outgoing

_OWN = ("top_n", "max_tokens_per_doc", "priority")


class _Result(msgspec.Struct):
    index: int
    relevance_score: float


class _Ranking(msgspec.Struct):
    results: list[_Result]
    id: str | None = None
    meta: dict[str, Any] | None = None


_read = msgspec.json.Decoder(_Ranking).decode


def encode(members: Members, provider: ProviderRow, model: str) -> Outgoing:
    """The request. Raises ProviderFailed for documents that are no texts: Cohere would rank what it cannot see."""
    asked = Asked(members)
    asked.take("return_documents")
    texts = _texts(asked.take("documents"), provider)
    body = {"model": model, "query": asked.take("query"), "documents": texts}
    body.update({name: value for name in _OWN if (value := asked.take(name)) is not None})
    return Outgoing("/v2/rerank", msgspec.json.encode(body), asked.dropped())


def decode(body: bytes, members: Members, provider: ProviderRow, _created: int, model: str) -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is none."""
    try:
        found = _read(body)
        results: list[dict[str, Any]] = [
            {"index": one.index, "relevance_score": one.relevance_score} for one in found.results
        ]
        if bytes(members.get("return_documents", b"")) == b"true":
            texts = _texts(msgspec.json.decode(members["documents"]), provider)
            results = [{**one, "document": {"text": texts[one["index"]]}} for one in results]
    except (ValueError, RecursionError, IndexError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no ranking") from error
    billed = (found.meta or {}).get("billed_units")
    told: dict[str, Any] = {"id": found.id or "", "model": model, "results": results, "meta": found.meta or {}}
    return Answer(msgspec.json.encode(told), _counted(billed), found.meta, None, model, None)


def _counted(billed: Any) -> Usage | None:
    """Searches, under the catalog's name for them; a search is a query and up to a hundred documents."""
    searches = count_of(billed.get("search_units")) if isinstance(billed, dict) else None
    return Usage(units={"rerank_searches": searches}) if searches is not None else None


def _texts(documents: Any, provider: ProviderRow) -> list[str]:
    texts = [one.get("text") if isinstance(one, dict) else one for one in documents]
    if not all(isinstance(text, str) for text in texts):
        raise untranslatable(f"{provider.display_name} ranks texts", "documents")
    return [str(text) for text in texts]
