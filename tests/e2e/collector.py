"""What listens where a searched stack is told to send things: a collector of traces, an issuer that talks too much."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Listener(ThreadingHTTPServer):
    """Keeps what it is sent at `/v1/…`; elsewhere it is an OpenID issuer that repeats, in its refusals, all it was told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.traces: list[bytes] = []
        self.told: list[bytes] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        url = self.server.url
        ends = {name: f"{url}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        modes = {"response_types_supported": ["code"], "id_token_signing_alg_values_supported": ["RS256"]}
        modes |= {"subject_types_supported": ["public"], "code_challenge_methods_supported": ["S256"]}
        self._answer(200, {"issuer": url, **ends, **modes, "keys": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.startswith("/v1/"):
            self.server.traces.append(body)
            self._answer(200, {})
            return
        said = f"{self.headers} {body.decode(errors='replace')}"
        self.server.told.append(said.encode())
        self._answer(400, {"error": "invalid_client", "error_description": said})

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener on a free port."""
    listener = Listener()
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    yield listener
    listener.shutdown()
    listener.server_close()
    thread.join(5)
