"""Users and teams as bucket `keys` tells of them, beside the keys themselves: how its names are read, in one place."""

from __future__ import annotations

from typing import TypeVar

from common.contracts.snapshots import Limits, TeamSnapshot, UserSnapshot

Thing = TypeVar("Thing")


class Holders:
    """Copies of the users and teams that have limits, by id; bounded by what the bucket holds."""

    def __init__(self) -> None:
        self.users: dict[str, UserSnapshot] = {}
        self.teams: dict[str, TeamSnapshot] = {}

    def apply(self, name: str, body: bytes | None) -> bool:
        """Take in the snapshot of a user or team; False for any other name, which is a key's. ValueError when the snapshot
        makes no sense."""
        kind, _, holder_id = name.partition(".")
        if holder_id and kind == "user":
            put(self.users, holder_id, UserSnapshot.model_validate_json(body) if body is not None else None)
        elif holder_id and kind == "team":
            put(self.teams, holder_id, TeamSnapshot.model_validate_json(body) if body is not None else None)
        else:
            return False
        return True

    def user_limits(self, user_id: str | None) -> Limits | None:
        """What a user may use over all keys; None: no limit of that kind."""
        return self.users.get(user_id) if user_id is not None else None

    def team_limits(self, team_id: str | None) -> Limits | None:
        """What a team may use over all keys; None: no limit of that kind."""
        return self.teams.get(team_id) if team_id is not None else None


def put(table: dict[str, Thing], name: str, thing: Thing | None) -> None:
    """Let a copy stand under a name, or none."""
    if thing is None:
        table.pop(name, None)
    else:
        table[name] = thing
