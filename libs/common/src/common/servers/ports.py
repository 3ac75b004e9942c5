"""Free loopback ports for own servers: private ones, never a standard one.

The range lies below the kernel's ephemeral ports, so that no outgoing connection takes a port that a server is to use
again at its next start. Standard ports are never even tried: another program's server may sit there.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from common.servers.errors import ServerError

FIRST_PORT = 20000
LAST_PORT = 29999
# Registered ports in that range that people do run things on (MongoDB, Team Fortress, Flipper …).
_KNOWN = frozenset({20048, 24007, 25565, 26257, 26379, 27015, 27017, 27018, 27019, 28015, 29418})
_TRIES = 500


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def require_free(port: int, name: str) -> None:
    """ServerError when something listens there: else what answers might be another program, not our child."""
    if not is_free(port):
        raise ServerError(f"{name} cannot listen on 127.0.0.1:{port}: the port is taken")


def free_port(taken: Collection[int] = ()) -> int:
    """A port nobody listens on, not among `taken`; drawn at random, so that two runners rarely draw the same one."""
    draw = random.SystemRandom()
    for _ in range(_TRIES):
        port = draw.randint(FIRST_PORT, LAST_PORT)
        if port not in _KNOWN and port not in taken and is_free(port):
            return port
    raise ServerError(f"no free port between {FIRST_PORT} and {LAST_PORT} on 127.0.0.1")
