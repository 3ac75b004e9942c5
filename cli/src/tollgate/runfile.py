"""`.tollgate/run.json`: how to reach the running stack, for people, tests and other commands. Mode 600, replaced whole.

It exists while the stack is ready and goes when it stops. Its fields are public (README); add, never rename.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from common.servers.private_file import write_private

from tollgate.errors import RunnerError
from tollgate.home import Home


@dataclass(frozen=True)
class RunFile:
    """What a ready stack tells. `pids`: service or server → the process that serves now, rewritten on a restart."""

    url: str
    api_key: str
    admin_email: str
    admin_password: str
    demo_email: str
    demo_password: str
    database_url: str
    nats_url: str
    redis_url: str
    cache_redis_url: str
    nats_monitoring_url: str | None  # of an own NATS only
    simulator_url: str
    services: dict[str, str]
    pids: dict[str, int]
    logs: str

    def write(self, path: Path) -> None:
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    def with_pids(self, pids: Mapping[str, int]) -> RunFile:
        return replace(self, pids=dict(pids))


def read_run_file(path: Path) -> RunFile:
    """The stack that runs; RunnerError when none does or the file is not one of ours."""
    try:
        content = json.loads(path.read_text())
        return RunFile(**{field.name: content[field.name] for field in fields(RunFile)})
    except FileNotFoundError:
        raise RunnerError(f"nothing runs here ({path} does not exist): start it with `make up`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RunnerError(f"{path} is damaged: stop the stack with `make down` and start it again") from error


def refuse_second(home: Home) -> None:
    """RunnerError with its address when a runner already runs on this folder."""
    holder = home.holder()
    if holder is not None:
        url = read_run_file(home.run_file).url if home.run_file.exists() else "not ready yet"
        raise RunnerError(f"already running on {home.root} (pid {holder}, {url}): stop it with `make down`")
