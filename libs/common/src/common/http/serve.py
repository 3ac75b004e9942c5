"""Runs an ASGI app until it is told to stop: uvicorn with uvloop and httptools, one process.

More processes are more replicas; that is the cluster's business.
"""

from __future__ import annotations

from typing import Any

import uvicorn

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open: longer than the other side keeps one (clients 5 to 60 s, load balancers 60), so
that it is they who close it. A request that meets our closing has been sent in vain, and nobody can tell."""


def serve(app: Any, *, host: str, port: int, grace_seconds: int = 30, **options: Any) -> None:
    """Serve until SIGTERM or SIGINT; running requests get `grace_seconds` to end."""
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=grace_seconds,
        **{"loop": "uvloop", "http": "httptools", "timeout_keep_alive": KEEP_ALIVE_SECONDS, **options},
    )
