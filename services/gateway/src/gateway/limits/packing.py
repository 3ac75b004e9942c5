"""Commands for Redis in its own framing (RESP). Pure.

Packing the arguments of the scripts took a twentieth of a call's instructions, and most of them are the same at every call
of a key: those are packed once and joined to the rest.
"""

from __future__ import annotations

from typing import NamedTuple

import hiredis

Argument = bytes | str | int


class Packed(NamedTuple):
    """Some arguments of a command, each as a bulk string."""

    size: int
    wire: bytes


def packed(*arguments: Argument) -> Packed:
    """Arguments as they stand in a command."""
    command: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]  # its stubs lag behind it
    return Packed(len(arguments), command.partition(b"\r\n")[2])


def joined(*parts: Packed) -> bytes:
    """A whole command."""
    size, wires = 0, [b""]
    for part in parts:
        size += part[0]
        wires.append(part[1])
    wires[0] = b"*%d\r\n" % size
    return b"".join(wires)
