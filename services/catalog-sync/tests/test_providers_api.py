"""`/api/v1/providers` over HTTP, with real servers behind it."""

from __future__ import annotations

import json
from typing import Any

from common.providers.registry import PROVIDERS

PATH = "/api/v1/providers"


async def default_of(running: Any, name: str) -> dict[str, Any]:
    items = (await running.admin.get(PATH, params={"limit": 1000})).json()["items"]
    return next(one for one in items if one["name"] == name)  # type: ignore[no-any-return]


async def test_an_instance_is_made_shown_changed_and_removed_and_each_is_told(running: Any) -> None:
    body = {
        "name": "openai-eu",
        "display_name": "OpenAI Europe",
        "provider_type": "openai",
        "config": {"base_url": "https://eu.example.com/v1", "headers": {"openai-project": "p"}, "options": {"a": [1]}},
        "priority": 5,
    }
    made = await running.admin.post(PATH, json=body)
    assert made.status_code == 201
    assert made.headers["x-tollgate-revision"].startswith("catalog=")
    instance = made.json()
    assert {name: instance[name] for name in body} == body
    assert instance["enabled"] is True
    key = f"provider.{instance['id']}"
    told = json.loads((await running.bucket())[key])
    assert (told["base_url"], told["headers"], told["priority"]) == (
        body["config"]["base_url"],
        {"openai-project": "p"},
        5,
    )

    change = {"enabled": False, "config": {"base_url": None}}
    changed = (await running.admin.patch(f"{PATH}/{instance['id']}", json=change)).json()
    assert (changed["enabled"], changed["priority"]) == (False, 5)
    assert changed["config"] == {**body["config"], "base_url": None}
    assert json.loads((await running.bucket())[key])["enabled"] is False
    assert (await running.admin.get(f"{PATH}/{instance['id']}")).json() == changed

    removed = await running.admin.delete(f"{PATH}/{instance['id']}")
    assert (removed.status_code, removed.content) == (204, b"")
    assert removed.headers["x-tollgate-revision"].startswith("catalog=")
    assert key not in await running.bucket()
    assert (await running.admin.get(f"{PATH}/{instance['id']}")).status_code == 404


async def test_an_unknown_type_is_refused_with_the_known_ones(running: Any) -> None:
    answer = await running.admin.post(PATH, json={"name": "x", "provider_type": "nobody"})
    assert answer.status_code == 400
    assert answer.json()["detail"] == f"unknown provider_type: nobody; known: {', '.join(sorted(PROVIDERS))}"


async def test_a_name_is_given_once(running: Any) -> None:
    body = {"name": "mine", "provider_type": "groq"}
    assert (await running.admin.post(PATH, json=body)).status_code == 201
    assert (await running.admin.post(PATH, json=body)).status_code == 409
    assert (await running.admin.post(PATH, json={**body, "name": "openai"})).status_code == 409


async def test_a_configuration_that_cannot_be_used_is_refused(running: Any) -> None:
    wrong: list[dict[str, Any]] = [
        {"base_url": "ftp://example.com"},
        {"base_url": "https://"},
        {"base_url": "https://user:pw@example.com/v1"},
        {"base_url": "https://example.com/v1?key=1"},
        {"base_url": "https://exam ple.com"},
        {"base_url": "http://[::1"},
        {"base_url": "http://169.254.169.254/latest"},
        {"base_url": "http://metadata.google.internal/"},
        {"headers": {"Authorization": "Bearer sk-secret"}},
        {"headers": {"x-api-key": "sk-secret"}},
        {"headers": {"content-length": "1"}},
        {"headers": {"x y": "1"}},
        {"headers": {"x": "1\r\nhost: evil"}},
        {"options": {"a": "x" * 20_000}},
        {"surprise": 1},
    ]
    for config in wrong:
        answer = await running.admin.post(PATH, json={"name": "x", "provider_type": "openai", "config": config})
        assert answer.status_code == 422, config
        assert "sk-secret" not in answer.text
    local = {"base_url": "http://127.0.0.1:11434/v1"}
    assert (
        await running.admin.post(PATH, json={"name": "x", "provider_type": "custom", "config": local})
    ).status_code == 201


async def test_custom_is_enabled_only_with_an_address(running: Any) -> None:
    custom = await default_of(running, "custom")
    url = f"{PATH}/{custom['id']}"
    assert (await running.admin.patch(url, json={"enabled": True})).status_code == 422
    with_address = {"enabled": True, "config": {"base_url": "http://10.0.0.7:8000/v1"}}
    assert (await running.admin.patch(url, json=with_address)).json()["enabled"] is True


async def test_a_default_instance_stays_under_its_name(running: Any) -> None:
    openai = await default_of(running, "openai")
    refused = await running.admin.delete(f"{PATH}/{openai['id']}")
    assert refused.status_code == 409
    assert "disable it instead" in refused.json()["detail"]
    assert (await running.admin.patch(f"{PATH}/{openai['id']}", json={"name": "other"})).status_code == 409
    assert (await running.admin.patch(f"{PATH}/{openai['id']}", json={"display_name": None})).status_code == 422
    assert (await running.admin.patch(f"{PATH}/{openai['id']}", json={"priority": 9})).json()["priority"] == 9


async def test_an_instance_that_an_alias_leads_to_stays(running: Any) -> None:
    made = (await running.admin.post(PATH, json={"name": "eu", "provider_type": "openai"})).json()
    alias = {"alias": "mine", "deployments": [{"provider": "eu", "model": "gpt-4"}]}
    assert (await running.admin.post("/api/v1/aliases", json=alias)).status_code == 201
    refused = await running.admin.delete(f"{PATH}/{made['id']}")
    assert (refused.status_code, refused.json()["detail"]) == (409, "aliases lead to eu: mine")
    assert (await running.admin.patch(f"{PATH}/{made['id']}", json={"name": "eu-2"})).status_code == 409


async def test_instances_are_listed_page_by_page_and_filter_the_models(running: Any) -> None:
    seen, cursor = [], None
    while True:
        asked = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await running.admin.get(PATH, params=asked)).json()
        seen += [one["name"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(PROVIDERS)
    made = (await running.admin.post(PATH, json={"name": "fast", "provider_type": "groq"})).json()
    for provider in ("fast", made["id"]):
        listed = await running.public.get("/api/v1/llm/models", params={"provider": provider})
        assert [one["name"] for one in listed.json()] == ["llama-3.1-8b-instant"]
