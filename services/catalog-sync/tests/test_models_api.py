"""`/api/v1/llm/models` over HTTP, with real servers behind it."""

from __future__ import annotations

import asyncio
from typing import Any

MEMBERS = {
    "id", "provider_id", "provider_name", "name", "display_name", "description", "cost_per_1m_input",
    "cost_per_1m_output", "context_length", "enabled", "capabilities", "max_output_tokens", "cost_per_1m_cached_input",
    "cost_per_1m_cache_write", "deprecated_at", "updated_at",
}  # fmt: skip
PATH = "/api/v1/llm/models"
BY_NAME = [
    "gpt-4",
    "gpt-4o-mini",
    "llama-3.1-8b-instant",
    "openai/gpt-4",
    "text-embedding-3-small",
    "tongyi/deepresearch:free",
    "unpriced-1",
]


async def names(running: Any, **asked: Any) -> list[str]:
    answer = await running.public.get(PATH, params=asked)
    assert answer.status_code == 200, answer.text
    return [model["name"] for model in answer.json()]


async def test_anybody_may_read_the_list_and_sees_just_its_public_members(running: Any) -> None:
    answer = await running.public.get(PATH)
    models = {model["name"]: model for model in answer.json()}
    assert list(models) == BY_NAME
    assert all(set(model) == MEMBERS for model in models.values())
    assert answer.headers["x-total-count"] == "7"
    gpt4 = models["gpt-4"]
    assert (gpt4["cost_per_1m_input"], gpt4["cost_per_1m_output"], gpt4["context_length"]) == (30.0, 60.0, 8192)
    assert (gpt4["provider_name"], gpt4["display_name"], gpt4["enabled"]) == ("OpenAI", "GPT 4", True)
    assert "/" not in models["openai/gpt-4"]["id"]


async def test_an_unknown_price_is_null_and_a_free_one_is_zero(running: Any) -> None:
    models = {model["name"]: model for model in (await running.public.get(PATH)).json()}
    assert models["unpriced-1"]["cost_per_1m_input"] is None
    assert models["tongyi/deepresearch:free"]["cost_per_1m_input"] == 0
    assert models["gpt-4"]["cost_per_1m_cached_input"] is None


ASKED: list[tuple[dict[str, Any], list[str]]] = [
    ({"provider": "groq"}, ["llama-3.1-8b-instant"]),
    ({"provider": "GROQ"}, ["llama-3.1-8b-instant"]),
    ({"provider": "nobody"}, []),
    ({"search": "GPT-4O"}, ["gpt-4o-mini"]),
    ({"search": "tongyi deep"}, ["tongyi/deepresearch:free"]),
    ({"search": "small AND fast"}, ["gpt-4o-mini"]),
    ({"search": "100%"}, ["llama-3.1-8b-instant"]),
    ({"search": "g_t"}, []),
    ({"capability": "embeddings"}, ["text-embedding-3-small"]),
    ({"capability": "chat", "provider": "openai"}, ["gpt-4", "gpt-4o-mini", "unpriced-1"]),
    ({"enabled": "false"}, []),
    ({"enabled": "true", "search": "gpt-4", "provider": "openrouter"}, ["openai/gpt-4"]),
    ({"sort": "-name"}, BY_NAME[::-1]),
    ({"limit": 2, "offset": 1}, BY_NAME[1:3]),
    ({"offset": 100}, []),
    ({"sort": "price", "provider": "openai"}, ["text-embedding-3-small", "gpt-4o-mini", "gpt-4", "unpriced-1"]),
    ({"sort": "-price", "provider": "openai"}, ["gpt-4", "gpt-4o-mini", "text-embedding-3-small", "unpriced-1"]),
    ({"sort": "-price", "limit": 2}, ["gpt-4", "openai/gpt-4"]),
    (
        {"sort": "context_length"},
        ["openai/gpt-4", "gpt-4", "gpt-4o-mini", "llama-3.1-8b-instant", "tongyi/deepresearch:free",
         "text-embedding-3-small", "unpriced-1"],
    ),
    (
        {"sort": "-context_length"},
        ["llama-3.1-8b-instant", "tongyi/deepresearch:free", "gpt-4o-mini", "gpt-4", "openai/gpt-4",
         "text-embedding-3-small", "unpriced-1"],
    ),
]  # fmt: skip


async def test_the_list_holds_what_is_asked_for_in_the_order_asked_for(running: Any) -> None:
    for asked, expected in ASKED:
        assert await names(running, **asked) == expected, asked


async def test_a_parameter_that_makes_no_sense_is_refused(running: Any) -> None:
    for name, value in (
        ("limit", 0),
        ("limit", 1001),
        ("limit", "x"),
        ("offset", -1),
        ("sort", "age"),
        ("enabled", "?"),
    ):
        answer = await running.public.get(PATH, params={name: value})
        assert answer.status_code == 422, name
        assert answer.json()["detail"][0]["loc"] == ["query", name]
    assert (await running.public.get(PATH + "?search=%00")).status_code == 400
    assert (await running.public.get(PATH + "/%00")).status_code == 400


async def test_link_leads_to_the_other_pages_with_the_same_question(running: Any) -> None:
    seen: list[str] = []
    url: str | None = PATH + "?sort=-name&limit=3"
    while url:
        answer = await running.public.get(url)
        seen += [model["name"] for model in answer.json()]
        assert answer.headers["x-total-count"] == "7"
        url = answer.links.get("next", {}).get("url")
    assert seen == BY_NAME[::-1]
    assert answer.links["first"]["url"] == PATH + "?sort=-name&limit=3&offset=0"
    assert answer.links["prev"]["url"] == PATH + "?sort=-name&limit=3&offset=3"
    assert answer.links["last"]["url"] == PATH + "?sort=-name&limit=3&offset=6"


async def test_an_unchanged_list_is_not_sent_again(running: Any) -> None:
    first = await running.public.get(PATH)
    held = {"if-none-match": f'"other", W/{first.headers["etag"]}'}
    again = await running.public.get(PATH, headers=held)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    model = first.json()[0]["id"]
    await running.admin.patch(f"{PATH}/{model}", json={"enabled": False})
    changed = await running.public.get(PATH, headers=held)
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_one_model_is_shown_by_its_id_with_its_price_history(running: Any) -> None:
    model = (await running.public.get(PATH, params={"search": "gpt-4o-mini"})).json()[0]
    assert (await running.public.get(f"{PATH}/{model['id']}")).json() == model
    history = (await running.public.get(f"{PATH}/{model['id']}/prices")).json()
    [row] = history["items"]
    assert history["next_cursor"] is None
    assert row["rates"] == {"input_tokens": "0.15", "output_tokens": "0.6"}
    assert (row["starts_at"], row["source"]) == ("1970-01-01T00:00:00Z", "packaged")
    for path in ("nothing", "nothing/prices"):
        assert (await running.public.get(f"{PATH}/{path}")).json() == {"detail": "no such model", "code": "not_found"}


async def test_what_changes_the_catalog_is_for_admins_only(running: Any) -> None:
    asked = [
        ("POST", PATH, {"provider": "openai", "name": "x"}),
        ("POST", PATH + "/sync", None),
        ("PATCH", PATH + "/some-id", {"enabled": False}),
        ("GET", PATH + "/seen", None),
        ("GET", "/api/v1/providers", None),
        ("POST", "/api/v1/providers", {"name": "x", "provider_type": "openai"}),
        ("PATCH", "/api/v1/providers/x", {}),
        ("DELETE", "/api/v1/providers/x", None),
        ("GET", "/api/v1/aliases", None),
        ("POST", "/api/v1/aliases", {"alias": "x", "deployments": [{"provider": "openai", "model": "gpt-4"}]}),
        ("PATCH", "/api/v1/aliases/x", {}),
        ("DELETE", "/api/v1/aliases/x", None),
    ]
    for method, path, body in asked:
        assert (await running.public.request(method, path, json=body)).status_code == 401, (method, path)
        assert (await running.user.request(method, path, json=body)).status_code == 403, (method, path)
    assert (await running.public.get(PATH + "/syncs")).status_code == 200


async def test_a_model_of_our_own_is_listed_priced_and_told(running: Any) -> None:
    made = await running.admin.post(
        PATH,
        json={"provider": "custom", "name": "my/llama", "cost_per_1m_input": 0.1, "cost_per_1m_output": "0.25",
              "context_length": 4096, "max_output_tokens": 512},
    )  # fmt: skip
    assert made.status_code == 201
    model = made.json()
    assert (model["cost_per_1m_input"], model["cost_per_1m_output"], model["max_output_tokens"]) == (0.1, 0.25, 512)
    assert made.headers["x-tollgate-revision"].startswith("catalog=")
    assert b'"input_tokens":"0.1"' in (await running.bucket())[f"model.{model['id']}"]
    await running.admin.post(PATH + "/sync")
    assert (await running.public.get(f"{PATH}/{model['id']}")).json() == model, "a sync leaves it alone"


async def test_a_model_of_our_own_needs_a_free_name_a_known_provider_and_a_whole_price(running: Any) -> None:
    async def status(**body: Any) -> int:
        answer = await running.admin.post(PATH, json=body)
        return int(answer.status_code)

    assert await status(provider="openai", name="gpt-4") == 409
    assert await status(provider="openai", name="gpt-4-0613") == 409
    assert await status(provider="nobody", name="m") == 400
    assert await status(provider="openai", name="m", cost_per_1m_input=1) == 422
    assert await status(provider="openai", name="m", cost_per_1m_input=-1, cost_per_1m_output=1) == 422
    assert await status(provider="openai", name="m", cost_per_1m_input="NaN", cost_per_1m_output=1) == 422
    assert await status(provider="openai", name="a b") == 422
    assert await status(provider="openai", name="m", surprise=1) == 422
    assert await names(running) == BY_NAME


async def test_a_disabled_model_is_told_within_the_answer(running: Any) -> None:
    model = (await running.public.get(PATH)).json()[0]["id"]
    answer = await running.admin.patch(f"{PATH}/{model}", json={"enabled": False})
    assert answer.json()["enabled"] is False
    assert b'"enabled":false' in (await running.bucket())[f"model.{model}"]
    assert await names(running, enabled="false") == ["gpt-4"]
    assert (await running.admin.patch(f"{PATH}/nothing", json={"enabled": False})).status_code == 404


async def test_a_write_is_audited(running: Any) -> None:
    model = (await running.public.get(PATH)).json()[0]["id"]
    subscription = await running.bus.jetstream.pull_subscribe("audit.recorded.catalog-sync", stream="AUDIT")
    await running.admin.patch(f"{PATH}/{model}", json={"enabled": False})
    [message] = await subscription.fetch(1, timeout=5)
    assert b'"actor":"admin-1"' in message.data
    assert b'"action":"model.disabled"' in message.data
    assert model.encode() in message.data


async def test_a_write_is_answered_though_the_bus_is_away(running: Any) -> None:
    model = (await running.public.get(PATH)).json()[0]["id"]
    await running.settled()
    await running.bus.jetstream.delete_key_value("catalog")
    answer = await asyncio.wait_for(running.admin.patch(f"{PATH}/{model}", json={"enabled": False}), 10)
    assert answer.status_code == 200
    assert answer.headers["x-tollgate-pending"] == "true"
    assert "x-tollgate-revision" not in answer.headers
