"""From a name to the places that may answer: alias, then `provider/name`, then bare; priorities; credentials."""

from __future__ import annotations

import json
from typing import Any

import pytest
from common.contracts.snapshots import AliasSnapshot, CredentialSnapshot, DeploymentSnapshot, ProviderSnapshot, Snapshot
from common.providers.registry import PROVIDERS
from common.secret import Secret, seal
from gateway.api.doors import Plans
from gateway.api.models import list_models, one_model
from gateway.mirrors.catalog import Catalog
from gateway.mirrors.credentials import Credentials
from gateway.mirrors.keys import ApiKey
from gateway.routing.plan import Plan, Planner, simulated
from gateway_stack import as_it_is, model_snapshot

ANYTHING = ApiKey("key-1", None, None, None, True, 0, 0, 0, -1, None, None)


def only(*names: str) -> ApiKey:
    """A key that may call these names."""
    return ApiKey("key-1", None, None, None, True, 0, 0, 0, -1, frozenset(names), None)


class World:
    """A catalog and credentials by hand."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.credentials = Credentials(self._open, as_it_is)
        self.planner = Planner(self.catalog, self.credentials, "http://127.0.0.1:8090/")

    async def _open(self, credential_id: str, recipient: str) -> tuple[int, str]:
        version = self.credentials._wanted[credential_id].version
        return version, seal(Secret(f"sk-{credential_id}"), recipient, f"{credential_id}/{version}")

    def put(self, key: str, snapshot: Snapshot | None) -> None:
        self.catalog.apply(key, snapshot.model_dump_json().encode() if snapshot else None)

    def provider(self, provider_type: str, name: str = "", **changes: Any) -> None:
        name = name or provider_type
        self.put(
            f"provider.{name}",
            ProviderSnapshot(id=name, name=name, provider_type=provider_type, display_name=name, **changes),
        )

    def model(self, provider_type: str, name: str, **changes: Any) -> None:
        self.put(f"model.{provider_type}-{name}", model_snapshot(provider_type, name, "1", "2", **changes))

    def alias(self, name: str, *deployments: DeploymentSnapshot, **changes: Any) -> None:
        self.put(f"alias.{name}", AliasSnapshot(id=name, alias=name, deployments=deployments, **changes))

    async def credential(self, provider_type: str, **changes: Any) -> None:
        given = {"version": 1, **changes}
        snapshot = CredentialSnapshot(id=f"cred-{provider_type}", provider_type=provider_type, **given)
        self.credentials.apply(snapshot.id, snapshot.model_dump_json().encode())
        for wanted in self.credentials._missing():
            await self.credentials._get(wanted)

    def places(self, name: str) -> list[str]:
        """Where a name leads, as provider instance/model."""
        plan = self.planner.plan(name)
        return [] if plan is None else [f"{one.provider_id}/{one.model_name}" for one in plan.deployments]


@pytest.fixture
async def world() -> World:
    """openai and groq with credentials, deepseek without; models of each."""
    made = World()
    for provider_type in ("openai", "groq", "deepseek"):
        made.provider(provider_type)
    for provider_type, name in (
        ("openai", "gpt-4"),
        ("groq", "gpt-4"),
        ("groq", "llama"),
        ("deepseek", "deepseek-chat"),
    ):
        made.model(provider_type, name)
    made.model("groq", "openai/gpt-oss-120b")
    await made.credential("openai")
    await made.credential("groq")
    return made


def deployment(provider: str, model: str, **changes: Any) -> DeploymentSnapshot:
    return DeploymentSnapshot(provider=provider, model=model, **changes)


async def test_a_bare_name_goes_to_its_maker_first(world: World) -> None:
    assert world.places("gpt-4") == ["openai/gpt-4", "groq/gpt-4"]
    assert world.places("llama") == ["groq/llama"]


async def test_a_provider_in_front_decides(world: World) -> None:
    assert world.places("groq/gpt-4") == ["groq/gpt-4"]
    assert world.places("openai/gpt-4") == ["openai/gpt-4"]
    assert world.places("openai/llama") == []
    assert world.planner.plan("nobody/gpt-4") is None


async def test_a_name_with_a_slash_may_be_bare(world: World) -> None:
    assert world.places("openai/gpt-oss-120b") == ["groq/openai/gpt-oss-120b"]
    assert world.places("groq/openai/gpt-oss-120b") == ["groq/openai/gpt-oss-120b"]


async def test_an_alias_goes_before_every_other_reading(world: World) -> None:
    world.alias("gpt-4", deployment("groq", "llama"))
    assert world.places("gpt-4") == ["groq/llama"]
    plan = world.planner.plan("gpt-4")
    assert plan is not None
    assert plan.alias == "gpt-4"
    world.alias("gpt-4", deployment("groq", "llama"), enabled=False)
    assert world.places("gpt-4") == ["openai/gpt-4", "groq/gpt-4"]


async def test_an_alias_s_deployments_are_tried_by_priority_then_weight(world: World) -> None:
    world.alias(
        "best",
        deployment("groq", "llama", priority=2),
        deployment("groq", "gpt-4", priority=1, weight=1),
        deployment("openai", "gpt-4", priority=1, weight=5),
        deployment("openai", "gone"),
    )
    assert world.places("best") == ["openai/gpt-4", "groq/gpt-4", "groq/llama"]


async def test_instances_of_a_provider_are_tried_by_priority(world: World) -> None:
    world.provider("openai", "east", priority=5)
    world.provider("openai", "west", priority=9)
    world.provider("openai", "off", priority=10, enabled=False)
    assert world.places("openai/gpt-4") == ["west/gpt-4", "east/gpt-4", "openai/gpt-4"]
    assert world.places("gpt-4") == ["west/gpt-4", "east/gpt-4", "openai/gpt-4", "groq/gpt-4"]
    assert world.places("east/gpt-4") == ["east/gpt-4"]


async def test_another_spelling_of_a_model_is_sent_as_it_was_spelled(world: World) -> None:
    world.model("openai", "gpt-4o", names=("gpt-4o-2024-11-20",))
    assert world.places("gpt-4o-2024-11-20") == ["openai/gpt-4o-2024-11-20"]
    plan = world.planner.plan("gpt-4o-2024-11-20")
    assert plan is not None
    assert plan.deployments[0].model.name == "gpt-4o"


async def test_a_provider_without_credential_is_named_as_missing(world: World) -> None:
    plan = world.planner.plan("deepseek-chat")
    assert plan == Plan("deepseek-chat", None, (), (PROVIDERS["deepseek"],))
    world.alias("mixed", deployment("deepseek", "deepseek-chat"), deployment("groq", "llama", priority=1))
    assert world.places("mixed") == ["groq/llama"]


async def test_an_unknown_name_has_no_plan(world: World) -> None:
    for name in ("gpt-9", "", "/", "openai/", "/gpt-4", "groq/openai/gpt-4"):
        assert world.planner.plan(name) is None
    world.alias("empty")
    assert world.planner.plan("empty") is None


async def test_a_model_that_is_gone_or_off_leads_nowhere(world: World) -> None:
    world.model("groq", "llama", enabled=False)
    assert world.planner.plan("llama") is None
    world.model("groq", "llama")
    assert world.places("llama") == ["groq/llama"]
    world.put("model.groq-llama", None)
    assert world.planner.plan("llama") is None


async def test_a_credential_says_where_and_how_a_provider_is_called(world: World) -> None:
    [openai, groq] = world.planner.plan("gpt-4").deployments  # type: ignore[union-attr]
    assert (openai.origin.scheme, openai.origin.host, openai.path) == ("https", "api.openai.com", b"/v1")
    assert b"authorization: Bearer sk-cred-openai\r\n" in openai.headers
    assert "sk-cred" not in repr(openai)
    assert groq.path == b"/openai/v1"
    await world.credential("openai", base_url="http://127.0.0.1:9/base/", version=2)
    [openai, _] = world.planner.plan("gpt-4").deployments  # type: ignore[union-attr]
    assert (openai.origin.port, openai.path, openai.is_simulated) == (9, b"/base", False)
    await world.credential("openai", on_simulator=True, version=3)
    [openai, _] = world.planner.plan("gpt-4").deployments  # type: ignore[union-attr]
    assert (openai.origin.port, openai.path, openai.is_simulated) == (8090, b"/openai/v1", True)


def test_the_simulator_plays_each_provider_under_its_own_path() -> None:
    url = "http://127.0.0.1:8090"
    assert simulated(url, PROVIDERS["openrouter"]) == f"{url}/openrouter/api/v1"
    assert simulated(url, PROVIDERS["deepseek"]).rstrip("/") == f"{url}/deepseek"
    assert simulated(url, PROVIDERS["custom"]) == f"{url}/custom/v1"


async def test_compiled_plans_are_bounded_and_forgotten_when_anything_changes(world: World) -> None:
    plans = Plans(world.planner, size=2, ttl_seconds=60)
    first = plans.plan("gpt-4")
    assert first is not None
    assert plans.plan("gpt-4") is first
    plans.plan("llama")
    plans.plan("groq/gpt-4")
    assert len(plans._kept) == 2
    assert plans.plan("gpt-4") is not first
    again = plans.plan("gpt-4")
    world.alias("unrelated", deployment("groq", "llama"))
    assert plans.plan("gpt-4") is not again
    await world.credential("deepseek")
    assert plans.plan("deepseek-chat") is not None
    assert plans.plan("nowhere") is None
    assert "nowhere" not in plans._kept


async def test_a_compiled_plan_grows_old(world: World) -> None:
    plans = Plans(world.planner, size=2, ttl_seconds=-1)
    assert plans.plan("gpt-4") is not plans.plan("gpt-4")


def listed(world: World, key: ApiKey) -> list[str]:
    body = json.loads(list_models(world.planner, key))
    assert body["object"] == "list"
    for one in body["data"]:
        assert set(one) == {"id", "object", "created", "owned_by"}
        assert json.loads(one_model(world.planner, key, one["id"]) or b"null")["id"] == one["id"]
    return [one["id"] for one in body["data"]]


async def test_what_is_listed_can_be_called(world: World) -> None:
    world.alias("best", deployment("groq", "llama"))
    world.alias("beyond-reach", deployment("deepseek", "deepseek-chat"))
    names = listed(world, ANYTHING)
    assert names == sorted(["gpt-4", "groq/gpt-4", "llama", "openai/gpt-oss-120b", "best"])
    assert all(world.places(name) for name in names)


async def test_a_key_s_own_list_decides_what_it_sees(world: World) -> None:
    assert listed(world, only("llama", "gpt-9")) == ["llama"]
    assert one_model(world.planner, only("llama"), "gpt-4") is None
    assert one_model(world.planner, ANYTHING, "deepseek-chat") is None
    assert one_model(world.planner, ANYTHING, "gpt-9") is None
