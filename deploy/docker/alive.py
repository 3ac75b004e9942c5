"""Asks the service of this container whether it lives (`/livez`) or is ready (`/readyz`): the container's health check.

By the standard library alone, in a process that is gone before anybody notices. Exit code 0 for yes, 1 for no. The image
of the command line serves nothing, so there is nothing to ask.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

PORTS = {
    "gateway": 8080,
    "billing": 8081,
    "catalog-sync": 8082,
    "keyvault": 8083,
    "analytics": 8084,
    "simulator": 8090,
    "cli": 0,
}
_TIMEOUT_SECONDS = 3.0


def main(service: str, path: str = "/livez") -> int:
    """0 when the service answers 200 at `path` on its usual port."""
    port = PORTS[service]
    if not port:
        return 0
    # No proxy of the surroundings stands between a container and itself.
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    try:
        with ask(f"http://127.0.0.1:{port}{path}", timeout=_TIMEOUT_SECONDS) as answer:
            return 0 if answer.status == 200 else 1
    except urllib.error.HTTPError as error:
        sys.stderr.write(f"{path} answered {error.code}: {error.read(500).decode(errors='replace')}\n")
    except OSError as error:
        sys.stderr.write(f"{path} does not answer: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
