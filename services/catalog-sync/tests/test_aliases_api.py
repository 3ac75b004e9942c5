"""`/api/v1/aliases` over HTTP, with real servers behind it."""

from __future__ import annotations

import json
from typing import Any

PATH = "/api/v1/aliases"


async def make(running: Any, alias: str, *places: dict[str, Any], **more: Any) -> Any:
    return await running.admin.post(PATH, json={"alias": alias, "deployments": list(places), **more})


GPT4 = {"provider": "openai", "model": "gpt-4"}


async def test_an_alias_is_made_shown_changed_and_removed_and_each_is_told(running: Any) -> None:
    fallback = {"provider": "openrouter", "model": "openai/gpt-4", "weight": 3, "priority": 1}
    made = await make(running, "my-gpt4", GPT4, fallback)
    assert made.status_code == 201
    assert made.headers["x-tollgate-revision"].startswith("catalog=")
    alias = made.json()
    assert alias["deployments"] == [{**GPT4, "weight": 1, "priority": 0}, fallback]
    assert (alias["strategy"], alias["enabled"]) == ("priority", True)
    key = f"alias.{alias['id']}"
    assert json.loads((await running.bucket())[key])["deployments"] == alias["deployments"]

    change = {"deployments": [{"provider": "groq", "model": "llama-3.1-8b-instant"}], "alias": "mine"}
    changed = (await running.admin.patch(f"{PATH}/{alias['id']}", json=change)).json()
    assert (changed["alias"], changed["deployments"][0]["provider"]) == ("mine", "groq")
    assert json.loads((await running.bucket())[key])["alias"] == "mine"
    assert (await running.admin.get(f"{PATH}/{alias['id']}")).json() == changed

    removed = await running.admin.delete(f"{PATH}/{alias['id']}")
    assert removed.status_code == 204
    assert key not in await running.bucket()
    assert (await running.admin.patch(f"{PATH}/{alias['id']}", json={})).status_code == 404


async def test_an_alias_may_say_how_long_its_calls_wait(running: Any) -> None:
    alias = (await make(running, "hasty", GPT4, timeouts={"first_byte_s": 2.5, "total_s": 20})).json()
    assert alias["timeouts"] == {"connect_s": None, "first_byte_s": 2.5, "between_chunks_s": None, "total_s": 20}
    key = f"alias.{alias['id']}"
    assert json.loads((await running.bucket())[key])["timeouts"] == alias["timeouts"]
    path = f"{PATH}/{alias['id']}"
    assert (await running.admin.patch(path, json={"enabled": False})).json()["timeouts"] == alias["timeouts"]
    changed = (await running.admin.patch(path, json={"timeouts": {"connect_s": 1}})).json()
    assert changed["timeouts"] == {"connect_s": 1, "first_byte_s": None, "between_chunks_s": None, "total_s": None}
    for wrong in ({"total_s": 0}, {"total_s": 3601}, {"soon": 1}, {"connect_s": "fast"}):
        assert (await make(running, "wrong", GPT4, timeouts=wrong)).status_code == 422


async def test_an_alias_to_a_model_nobody_serves_is_refused_with_the_nearest_names(running: Any) -> None:
    cases = {
        ("openai", "gpt-4o-mni"): "openai serves no model gpt-4o-mni; nearest: gpt-4o-mini",
        ("groq", "gpt-4"): "groq serves no model gpt-4; served as openai/gpt-4",
        ("opnai", "gpt-4"): "unknown provider: opnai; nearest: openai",
        ("groq", "zzz"): "groq serves no model zzz",
        ("groq", "gpt-4o-min"): "groq serves no model gpt-4o-min; nearest: gpt-4o-mini",
    }
    for (provider, model), said in cases.items():
        answer = await make(running, "mine", {"provider": provider, "model": model})
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith(said)
    assert (await running.admin.get(PATH)).json()["items"] == []


async def test_an_alias_may_lead_to_another_spelling_but_not_to_a_disabled_model(running: Any) -> None:
    assert (await make(running, "a", {"provider": "openai", "model": "gpt-4-0613"})).status_code == 201
    model = await running.model_id("gpt-4")
    await running.admin.patch(f"/api/v1/llm/models/{model}", json={"enabled": False})
    assert (await make(running, "b", GPT4)).status_code == 422


async def test_a_name_that_means_something_already_is_refused(running: Any) -> None:
    assert (await make(running, "mine", GPT4)).status_code == 201
    cases = {
        "mine": "there is an alias mine already",
        "gpt-4o-mini": "gpt-4o-mini is the name of a model of openai; choose another alias",
        "gpt-4-0613": "gpt-4-0613 is the name of a model of openai; choose another alias",
        "openai/gpt-4": "openai/gpt-4 is the name of a model of openrouter; choose another alias",
        "groq/anything": "groq/anything would hide models of provider groq; choose another alias",
    }
    for name, said in cases.items():
        answer = await make(running, name, GPT4)
        assert (answer.status_code, answer.json()["detail"]) == (409, said)
    other = (await make(running, "other", GPT4)).json()
    assert (await running.admin.patch(f"{PATH}/{other['id']}", json={"alias": "mine"})).status_code == 409
    assert (await running.admin.patch(f"{PATH}/{other['id']}", json={"alias": "other"})).status_code == 200
    own = {"provider": "openai", "name": "mine"}
    assert (await running.admin.post("/api/v1/llm/models", json=own)).status_code == 409


async def test_an_alias_that_makes_no_sense_is_refused(running: Any) -> None:
    wrong: list[dict[str, Any]] = [
        {"alias": "", "deployments": [GPT4]},
        {"alias": "a b", "deployments": [GPT4]},
        {"alias": "a", "deployments": []},
        {"alias": "a", "deployments": [GPT4, GPT4]},
        {"alias": "a", "deployments": [{**GPT4, "weight": -1}]},
        {"alias": "a", "deployments": [{**GPT4, "surprise": 1}]},
        {"alias": "a", "deployments": [GPT4], "strategy": "astrology"},
        {"alias": "a"},
    ]
    for body in wrong:
        assert (await running.admin.post(PATH, json=body)).status_code == 422, body
    made = (await make(running, "a", GPT4)).json()
    assert (await running.admin.patch(f"{PATH}/{made['id']}", json={"enabled": None})).status_code == 422
    assert (await running.admin.patch(f"{PATH}/{made['id']}", json={"deployments": []})).status_code == 422


async def test_aliases_are_listed_page_by_page(running: Any) -> None:
    for name in ("b", "a", "c"):
        assert (await make(running, name, GPT4)).status_code == 201
    first = (await running.admin.get(PATH, params={"limit": 2})).json()
    assert [one["alias"] for one in first["items"]] == ["a", "b"]
    second = (await running.admin.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [one["alias"] for one in second["items"]] == ["c"]
    assert second["next_cursor"] is None
