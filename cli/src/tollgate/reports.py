"""How a runner tells what it does: on the terminal, or from the background to whoever waits for it.

In the background every line goes to the runner's own log as well; the one who waits (`detached`) hears it over a pipe
until the stack is ready, and may be gone at any moment.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime

from tollgate.runfile import RunFile


class TerminalReport:
    """For a person who looks on; with `as_json`, for a program that reads one object from standard output."""

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json

    def say(self, line: str) -> None:
        print(line, file=sys.stderr if self._as_json else sys.stdout, flush=True)

    def ready(self, run_file: RunFile) -> None:
        print(json.dumps(asdict(run_file), indent=2) if self._as_json else welcome(run_file), flush=True)


class BackgroundReport:
    """For a runner that has no terminal: a dated line in its log, and the pipe while someone holds its other end."""

    def __init__(self, pipe: int) -> None:
        self._pipe: int | None = pipe

    def say(self, line: str) -> None:
        print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}", flush=True)
        self._tell({"say": line})

    def ready(self, run_file: RunFile) -> None:
        print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} ready at {run_file.url}", flush=True)
        self._tell({"ready": True})
        self.close()

    def failed(self, reason: str) -> None:
        """The last word of a runner that could not start."""
        print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {reason}", flush=True)
        self._tell({"failed": reason})

    def close(self) -> None:
        """Nobody needs to wait any longer."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def _tell(self, message: Mapping[str, object]) -> None:
        if self._pipe is not None:
            with suppress(BrokenPipeError):
                os.write(self._pipe, json.dumps(message).encode() + b"\n")


def welcome(run_file: RunFile) -> str:
    """What a person needs who has just started the stack; the last line is a command as it can be pasted."""
    rows = {
        "gateway": run_file.url,
        "OpenAI base URL": f"{run_file.url}/v1",
        "API key": run_file.api_key,
        "admin": f"{run_file.admin_email}  {run_file.admin_password}",
        "demo user": f"{run_file.demo_email}  {run_file.demo_password}",
        "logs": run_file.logs,
    }
    table = "\n".join(f"  {name:<16} {value}" for name, value in rows.items())
    return f"\nTollgate is ready.\n\n{table}\n\nTry it:\n\n{curl_line(run_file)}\n"


def curl_line(run_file: RunFile) -> str:
    """One call, on one line, for a shell."""
    body = json.dumps({"model": "gpt-4", "messages": [{"role": "user", "content": "Hello!"}]})
    return (
        f"curl {run_file.url}/v1/chat/completions -H 'Authorization: Bearer {run_file.api_key}' "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )
