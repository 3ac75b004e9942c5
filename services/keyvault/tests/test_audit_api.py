"""The audit trail: append-only, chained, for admins."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from keyvault.domain.actors import Actor


async def broken_at(alone: Any) -> int | None:
    broken: int | None = (await alone.app.state.services.keyvault.audit_trail.verify()).broken_at
    return broken


async def test_entries_made_side_by_side_form_one_chain(alone: Any) -> None:
    admin = await alone.admin()
    await asyncio.gather(*(alone.make_key(admin) for _ in range(12)))
    assert await alone.owner.fetchval("SELECT array_agg(id ORDER BY id) FROM audit_entries") == list(range(1, 13))
    assert await broken_at(alone) is None


async def test_the_trail_comes_in_pages_with_the_newest_first(alone: Any) -> None:
    admin = await alone.admin()
    for _ in range(5):
        await alone.make_key(admin)
    first = (await alone.call("GET", "/api/v1/audit?limit=3", admin)).json()
    rest = (await alone.call("GET", f"/api/v1/audit?limit=3&cursor={first['next_cursor']}", admin)).json()
    assert [entry["id"] for entry in first["items"] + rest["items"]] == ["5", "4", "3", "2", "1"]
    assert rest["next_cursor"] is None
    assert first["items"][2]["previous_hash"] == rest["items"][0]["hash"]
    for wrong in ("x", "WyJ4Il0", "Wy0xXQ", "WzFlNDAwXQ"):
        assert (await alone.call("GET", f"/api/v1/audit?cursor={wrong}", admin)).status_code == 400


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit_entries SET actor = 'somebody else' WHERE id = 3",
        "UPDATE audit_entries SET at = at + interval '1 microsecond' WHERE id = 3",
        "UPDATE audit_entries SET detail = '{}' WHERE id = 3",
        "DELETE FROM audit_entries WHERE id = 3",
    ],
)
async def test_a_tampered_row_is_found_even_when_the_trigger_was_switched_off(alone: Any, tampering: str) -> None:
    admin = await alone.admin()
    for _ in range(5):
        await alone.make_key(admin)
    await alone.owner.execute("ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_append_only")
    await alone.owner.execute(tampering)
    assert await broken_at(alone) == 3


@pytest.mark.parametrize("statement", ["UPDATE audit_entries SET actor = 'x'", "DELETE FROM audit_entries",
                                       "TRUNCATE audit_entries"])  # fmt: skip
async def test_neither_the_service_nor_the_owner_can_rewrite_the_trail(alone: Any, statement: str) -> None:
    await alone.make_key(await alone.admin())
    service = await asyncpg.connect(alone.environment["KEYVAULT_DATABASE_URL"])
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(statement)
    finally:
        await service.close()
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await alone.owner.execute(statement)
    assert await broken_at(alone) is None


async def test_a_change_whose_audit_row_cannot_be_written_does_not_happen(alone: Any) -> None:
    admin = await alone.admin()
    await alone.owner.execute("ALTER TABLE audit_entries ADD CHECK (false) NOT VALID")
    with pytest.raises(asyncpg.CheckViolationError):
        await alone.app.state.services.keyvault.virtual_keys.create(Actor(admin.id, is_admin=True), {"name": "a"})
    assert await alone.bucket("keys") == {}
    assert (await alone.call("GET", "/api/v1/keys", admin)).json()["items"] == []
