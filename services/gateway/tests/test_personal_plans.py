"""Which credential a call of a user with own ones is made with: theirs, the system's, or none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from common.contracts.snapshots import AliasSnapshot, CredentialSnapshot, DeploymentSnapshot, ProviderSnapshot
from common.secret import Secret, seal
from gateway.mirrors.catalog import Catalog
from gateway.mirrors.credentials import Credentials
from gateway.mirrors.usable import NoSecret
from gateway.routing.personal import PersonalPlans
from gateway.routing.plan import Planner
from gateway.shapes import Refusal
from gateway_stack import as_it_is, model_snapshot


class World:
    """Three providers of the same model, two with system keys; users with credentials as a test gives them."""

    def __init__(self) -> None:
        self.catalog, self.credentials = Catalog(), Credentials(self.open, as_it_is)
        self.personal = PersonalPlans(Planner(self.catalog, self.credentials, None), self.credentials.own)
        self.asked: list[str] = []
        self.versions: dict[str, int] = {}
        self.is_away = False
        for each in ("groq", "mistral", "together"):
            provider = ProviderSnapshot(id=each, name=each, provider_type=each, display_name=each)
            self.catalog.apply(f"provider.{each}", provider.model_dump_json().encode())
            model = model_snapshot(each, "llama", "1", "2")
            self.catalog.apply(f"model.{each}", model.model_dump_json().encode())
        deployments = tuple(DeploymentSnapshot(provider=each, model="llama") for each in ("together", "groq"))
        alias = AliasSnapshot(id="a", alias="best", deployments=deployments)
        self.catalog.apply("alias.a", alias.model_dump_json().encode())

    async def open(self, credential_id: str, recipient: str) -> tuple[int, str]:
        self.asked.append(credential_id)
        await asyncio.sleep(0)
        if self.is_away:
            raise NoSecret("away")
        version = self.versions[credential_id]
        secret = Secret(f"sk-{credential_id}-{version}")
        return version, seal(secret, recipient, f"{credential_id}/{version}")

    def put(self, name: str, provider_type: str, **changes: Any) -> None:
        snapshot = CredentialSnapshot(**{"id": name, "provider_type": provider_type, "version": 1, **changes})
        self.versions[name] = snapshot.version
        self.credentials.apply(name, snapshot.model_dump_json().encode())

    def own(self, name: str, provider_type: str, user: str = "ann", **changes: Any) -> None:
        self.put(name, provider_type, owner_user_id=user, **changes)

    async def with_system(self, *provider_types: str) -> None:
        for each in provider_types:
            self.put(f"system-{each}", each)
        for missing in self.credentials._missing():
            await self.credentials._get(missing)

    async def used(self, name: str = "llama", user: str | None = "ann", chosen: str | None = None) -> list[str]:
        """The credentials of a plan, in order."""
        plan = await self.personal.plan(user, name, chosen)
        return [] if plan is None else [one.credential.id for one in plan.deployments]

    async def refusal(self, **call: Any) -> str:
        with pytest.raises(Refusal) as refused:
            await self.used(**call)
        return refused.value.reason


@pytest.fixture
async def world() -> World:
    made = World()
    await made.with_system("groq", "mistral")
    return made


async def test_ones_own_goes_before_the_systems_and_the_systems_does_not_step_in_by_itself(world: World) -> None:
    world.own("mine", "groq")
    assert world.personal.concerns("ann")
    assert not world.personal.concerns("bob")
    assert not world.personal.concerns(None)
    assert await world.used("groq/llama") == ["mine"]
    assert await world.used("mistral/llama") == ["system-mistral"]
    assert await world.used() == ["mine"]
    assert await world.used(user="bob") == ["system-groq", "system-mistral"]


async def test_the_system_steps_in_where_the_owner_said_so(world: World) -> None:
    world.own("mine", "groq", fallback_to_system=True)
    assert await world.used("groq/llama") == ["mine", "system-groq"]
    assert await world.used() == ["mine", "system-groq", "system-mistral"]


async def test_the_default_decides_between_providers_that_are_otherwise_equal(world: World) -> None:
    world.own("a", "groq")
    world.own("b", "together")
    assert await world.used() == ["a", "b"]
    world.own("b", "together", is_default=True)
    assert await world.used() == ["b", "a"]
    assert await world.used("best") == ["b", "a"]


async def test_an_alias_keeps_its_order_whatever_the_default(world: World) -> None:
    world.own("a", "groq", is_default=True)
    assert await world.used("best") == ["a"]
    world.own("b", "together")
    assert await world.used("best") == ["b", "a"]


async def test_a_chosen_one_is_the_only_one(world: World) -> None:
    world.own("a", "groq", is_default=True)
    world.own("b", "together")
    assert await world.used(chosen="b") == ["b"]
    assert await world.used(chosen="a") == ["a"]
    world.own("b", "together", fallback_to_system=True)
    assert await world.used(chosen="b") == ["b"]  # the system has none there


async def test_what_cannot_be_chosen_is_refused(world: World) -> None:
    world.own("off", "groq", enabled=False)
    world.own("theirs", "groq", user="bob")
    assert await world.refusal(chosen="nobody") == "credential_not_found"
    assert await world.refusal(chosen="theirs") == "credential_not_found"
    assert await world.refusal(chosen="system-groq") == "credential_not_found"
    assert await world.refusal(chosen="off") == "credential_inactive"
    assert await world.refusal(chosen="off", user=None) == "credential_not_found"
    world.own("mine", "together")
    assert await world.refusal(chosen="mine", name="groq/llama") == "credential_unusable"
    assert await world.used("no-such-model", chosen="mine") == []


async def test_an_inactive_or_removed_one_is_never_used(world: World) -> None:
    world.own("mine", "groq")
    assert await world.used("groq/llama") == ["mine"]
    world.own("mine", "groq", enabled=False)
    assert await world.used("groq/llama") == ["system-groq"]
    world.own("mine", "groq")
    world.credentials.apply("mine", None)
    assert await world.used("groq/llama") == ["system-groq"]
    assert not world.personal.concerns("ann")


async def test_a_secret_is_asked_for_once_and_again_when_it_is_replaced(world: World) -> None:
    world.own("mine", "groq")
    world.asked.clear()
    await asyncio.gather(*(world.used() for _ in range(10)))
    assert world.asked == ["mine"]
    world.own("mine", "groq", version=2)
    plan = await world.personal.plan("ann", "groq/llama", None)
    assert plan is not None
    assert b"Bearer sk-mine-2\r\n" in plan.deployments[0].headers
    assert world.asked == ["mine", "mine"]


async def test_who_gives_up_takes_nobody_elses_answer_away(world: World) -> None:
    world.own("mine", "groq")
    world.asked.clear()
    impatient = asyncio.create_task(world.used())
    patient = asyncio.create_task(world.used())
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == ["mine"]
    assert world.asked == ["mine"]


async def test_without_keyvault_a_call_says_so_unless_the_system_may_step_in(world: World) -> None:
    world.own("mine", "groq")
    world.is_away = True
    assert await world.refusal(name="groq/llama") == "service_unavailable"
    assert await world.used() == ["system-mistral"]  # another provider, which was never to be called with it
    world.own("mine", "groq", fallback_to_system=True)
    assert await world.used("groq/llama") == ["system-groq"]
    world.is_away = False
    assert await world.used("groq/llama") == ["mine", "system-groq"]
    world.is_away = True
    assert await world.used("groq/llama") == ["mine", "system-groq"]


async def test_a_days_old_secret_is_asked_for_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("gateway.mirrors.own_credentials.monotonic", lambda: now[0])
    world.own("mine", "groq")
    assert await world.used() == ["mine"]
    world.is_away = True
    now[0] = 23 * 3600
    assert await world.used("groq/llama") == ["mine"]
    now[0] = 25 * 3600
    assert await world.refusal(name="groq/llama") == "service_unavailable"


async def test_a_users_secret_goes_to_its_provider_and_not_to_an_instance_of_the_operators(world: World) -> None:
    instance = ProviderSnapshot(
        id="groq", name="groq", provider_type="groq", display_name="groq", base_url="https://proxy.example.com/v1",
        headers={"x-operator": "secret"},
    )  # fmt: skip
    world.catalog.apply("provider.groq", instance.model_dump_json().encode())
    world.own("mine", "groq", fallback_to_system=True)
    plan = await world.personal.plan("ann", "groq/llama", None)
    assert plan is not None
    own, system = plan.deployments
    assert (own.origin.host, system.origin.host) == ("api.groq.com", "proxy.example.com")
    assert b"x-operator" not in own.headers
    assert b"x-operator: secret" in system.headers
    assert (own.credential.is_own, system.credential.is_own) == (True, False)


async def test_only_so_many_secrets_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.mirrors.own_credentials._MOST_KEPT", 2)
    for number in range(4):
        world.own(f"c{number}", "groq", user=f"user-{number}")
        assert await world.used("groq/llama", user=f"user-{number}") == [f"c{number}"]
    assert len(world.credentials.own._kept) == 2
    assert await world.used("groq/llama", user="user-0") == ["c0"]
