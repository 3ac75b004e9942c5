"""Facts that stand in two places below deploy/ because no tool there can share them: here they are held together."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kustomization
import variables
from common.contracts.topology import BUCKETS, STREAMS
from pods import PORTS
from tollgate.commands.secrets import KEPT

GIBIBYTE = 1 << 30


def faults(root: Path) -> Iterator[str]:
    """Everything that does not agree."""
    docker, k8s = root / "deploy" / "docker", root / "deploy" / "k8s"
    yield from _of_images(docker)
    yield from _of_secrets(docker, k8s / "overlays" / "dev")
    yield from _of_room(docker / "nats.conf", k8s / "infra")
    yield from _of_guide(root / "deploy" / "README.md")


def _of_images(docker: Path) -> Iterator[str]:
    ports = runpy.run_path(str(docker / "alive.py"))["PORTS"]
    members = runpy.run_path(str(docker / "image.py"))["MEMBERS"]
    if ports != {**PORTS, "cli": 0}:
        yield f"deploy/docker/alive.py: PORTS should be {PORTS}, as topology.py has it"
    if set(members) != set(ports):
        yield f"deploy/docker/image.py: MEMBERS should name {sorted(ports)}"
    root = docker.parents[1]
    for member in sorted({each for of_image in members.values() for each in of_image}):
        if not (root / member / "pyproject.toml").exists():
            yield f"deploy/docker/image.py: there is no package {member}"


def _of_secrets(docker: Path, overlay: Path) -> Iterator[str]:
    wanted = variables.secret_names() | {KEPT}
    made = re.search(r"cd /secrets && mkdir ([^;]+);", (docker / "Dockerfile").read_text())
    folders = set(made[1].replace("\\", " ").split()) if made else set()
    if folders != wanted:
        yield f"deploy/docker/Dockerfile: the folders of secrets differ: {sorted(folders ^ wanted)}"
    for role in kustomization.read(overlay).of_kind("Role"):
        named = {name for rule in role["rules"] for name in rule.get("resourceNames", [])}
        if named != wanted:
            yield f"Role {role['metadata']['name']}: the Secrets it names differ: {sorted(named ^ wanted)}"
        for rule in role["rules"]:
            if not rule.get("resourceNames") and rule["verbs"] != ["create"]:
                yield f"Role {role['metadata']['name']} may do more than create Secrets that it does not name"


def _of_room(config: Path, infra: Path) -> Iterator[str]:
    reserved = sum(stream.max_bytes for stream in STREAMS) + sum(bucket.max_bytes for bucket in BUCKETS)
    text = config.read_text()
    room = int(found[1]) * GIBIBYTE if (found := re.search(r"max_file_store: (\d+)GB", text)) else 0
    if room < reserved:
        yield f"deploy/docker/nats.conf: max_file_store holds {room} bytes, streams and buckets reserve {reserved}"
    if "sync_interval: always" not in text:
        yield "deploy/docker/nats.conf: without sync_interval: always acknowledged events can be lost"
    claims = _claims(kustomization.read(infra).of_kind("StatefulSet"), "nats")
    if claims < room:
        yield f"deploy/k8s/infra/nats.yaml: its volume has {claims} bytes, max_file_store is {room}"


def _claims(sets: list[dict[str, Any]], name: str) -> int:
    claims = next(each["spec"]["volumeClaimTemplates"] for each in sets if each["metadata"]["name"] == name)
    return sum(int(each["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * GIBIBYTE for each in claims)


def _of_guide(guide: Path) -> Iterator[str]:
    """Whoever installs the base makes the Secrets: the guide must name each with all that stands in it."""
    lines = guide.read_text().splitlines()
    base = kustomization.read(guide.parent / "k8s" / "base")
    names = {each["metadata"]["name"] for each in base.of_kind("Deployment", "Job")}
    for name in sorted(names & variables.secret_names()):
        row = next((line for line in lines if line.startswith(f"| `{name}` |")), "")
        for variable in variables.secrets_of(name):
            if f"`{variable}`" not in row:
                yield f"deploy/README.md: the row of Secret {name} does not name {variable}"
