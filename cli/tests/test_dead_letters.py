"""Dead letters over a real bus: listed with their reason, shown whole, told again under an id of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from common.bus.connect import Bus, connect
from tollgate import dead_letters
from tollgate.errors import RunnerError


@pytest_asyncio.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    """A bus with two dead letters: billing's, of an event that is on the stream already, and analytics'."""
    made = await connect(nats_url, "tests")
    publish = made.jetstream.publish
    await publish("usage.recorded.openai.k", b'{"poison": 1}', headers={"Nats-Msg-Id": "e1"})
    for service in ("billing", "analytics"):
        headers = {
            "Nats-Msg-Id": f"{service}/e1",
            "Tollgate-Subject": "usage.recorded.openai.k",
            "Tollgate-Sequence": "1",
            "Tollgate-Error": "ValueError: poison",
        }
        await publish(f"dlq.{service}", b'{"poison": 1}', headers=headers)
    yield made
    await made.close()


async def test_letters_are_listed_newest_first_with_what_killed_them(bus: Bus) -> None:
    letters = await dead_letters.newest(bus, None, 10)
    assert [(letter.number, letter.service, letter.event_id) for letter in letters] == [
        (2, "analytics", "e1"),
        (1, "billing", "e1"),
    ]
    assert letters[0].error == "ValueError: poison"
    assert [letter.number for letter in await dead_letters.newest(bus, "billing", 10)] == [1]
    assert [letter.number for letter in await dead_letters.newest(bus, None, 1)] == [2]


async def test_a_letter_is_told_again_whole_although_the_bus_knows_its_event(bus: Bus) -> None:
    letter = await dead_letters.one(bus, 1)
    assert await dead_letters.replay(bus, letter) == 2
    again = await bus.jetstream.get_msg("USAGE", 2)
    assert (again.subject, again.data) == ("usage.recorded.openai.k", b'{"poison": 1}')
    assert await dead_letters.replay(bus, letter) == 2, "a command that is repeated tells nothing twice"


async def test_a_letter_that_is_not_there_is_an_error_of_one_line(bus: Bus) -> None:
    with pytest.raises(RunnerError, match="no dead letter 7"):
        await dead_letters.one(bus, 7)


async def test_the_commands_print_for_people_and_programs(bus: Bus, nats_url: str, tmp_path: Path) -> None:
    def tollgate(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "tollgate"), "dlq", *words]
        environment = {**os.environ, "NATS_URL": nats_url, "TOLLGATE_HOME": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    listed = json.loads(tollgate("list", "--json", "--service", "billing").stdout)
    assert [letter["number"] for letter in listed] == [1]
    assert "ValueError: poison" in tollgate("show", "1").stdout
    told = json.loads(tollgate("replay", "--all", "--json").stdout)
    assert [letter["number"] for letter in told] == [1, 2]
    for wrong in (["replay"], ["replay", "1", "--all"], ["show", "9"]):
        refused = tollgate(*wrong)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused.stderr
