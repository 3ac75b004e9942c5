"""The front door as the commands use it: over public HTTP, with the login of a person.

Nothing here knows more than a user with curl does; what cannot be done this way the commands cannot do either.
"""

from __future__ import annotations

import http.client
import json
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2

from tollgate.errors import RunnerError

_TIMEOUT_SECONDS = 30.0
_PROBE_SECONDS = 2.0
_PAGE = 1_000


class GatewayClient:
    """One running Tollgate; after `login` every call carries that user's token."""

    def __init__(self, url: str, transport: httpx2.BaseTransport | None = None) -> None:
        # No proxy of the caller's stands between us and our own machine.
        self._http = httpx2.Client(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False, transport=transport)
        self._url = url

    def __enter__(self) -> GatewayClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def login(self, email: str, password: str) -> None:
        """Be this user from now on; RunnerError when the login is refused."""
        answer = self.call("POST", "/api/auth/login", {"email": email, "password": password})
        self._http.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def call(self, method: str, path: str, body: object = None, *, bearer: str | None = None) -> Any:
        """The JSON of a 2xx answer (None when empty); RunnerError with status and reason for any other."""
        answer = self.send(method, path, body, bearer=bearer)
        if not answer.is_success:
            raise RunnerError(f"{method} {path} answered {answer.status_code}: {reason_of(answer)}")
        return answer.json() if answer.content else None

    def items(self, path: str) -> list[dict[str, Any]]:
        """Every item of a list of the management API, page by page; RunnerError as `call`."""
        asked: dict[str, Any] = {"limit": _PAGE}
        found: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", f"{path}?{urlencode(asked)}")
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            asked["cursor"] = page["next_cursor"]

    def send(self, method: str, path: str, body: object = None, *, bearer: str | None = None) -> httpx2.Response:
        """Any answer; RunnerError when there is none. `bearer` takes the place of the login's token."""
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        try:
            return self._http.request(method, path, json=body, headers=headers)
        except httpx2.HTTPError as error:
            raise RunnerError(f"{self._url} does not answer: {error or type(error).__name__}") from error


def named(path: str, name: str) -> str:
    """The path of one thing of a list, whatever characters its name has."""
    return f"{path}/{quote(name, safe='')}"


def reason_of(answer: httpx2.Response) -> str:
    """What an error answer says, in either of our shapes; the beginning of its text when it is in none."""
    try:
        content = answer.json()
    except ValueError:
        content = None
    if isinstance(content, dict):
        error = content.get("error")
        told = error.get("message") if isinstance(error, dict) else content.get("detail")
        if told:
            return told if isinstance(told, str) else json.dumps(told)
    return answer.text[:200].strip() or "no reason given"


def is_ready(url: str) -> bool:
    """Whether `/readyz` at this base URL answers 200."""
    return not unready_checks(url)


def unready_checks(url: str) -> list[str]:
    """What is not ready at this base URL by its own word; empty when all is, `no answer` when it does not answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read(65536)
    except (OSError, http.client.HTTPException):
        return ["no answer"]
    finally:
        connection.close()
    return [] if answer.status == 200 else _failed(text) or [f"status {answer.status}"]


def _failed(text: bytes) -> list[str]:
    try:
        checks = json.loads(text)
    except ValueError:
        return []
    return [str(name) for name, holds in checks.items() if holds is False] if isinstance(checks, dict) else []
