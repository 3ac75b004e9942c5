"""A stack to measure: started by the `tollgate` command in a folder of its own, stopped afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.servers.ports import free_port


@contextmanager
def running_stack(home: Path) -> Iterator[dict[str, Any]]:
    """The contents of `run.json` of a running stack."""
    _tollgate(home, "up")
    try:
        yield json.loads((home / "run.json").read_text())
    finally:
        _tollgate(home, "down")


def _tollgate(home: Path, command: str) -> None:
    environment = {**os.environ, "TOLLGATE_HOME": str(home), "GATEWAY_HTTP_PORT": str(free_port())}
    subprocess.run(
        [str(Path(sys.executable).parent / "tollgate"), command],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=180,
    )
