"""Checks everything below deploy/ and docker-compose.yml without a cluster, an engine or a network: part of `make lint`.

Each finding is one line that names the file or object; the exit code is 1 when there is one. What is looked at: every
object against the schemas of one Kubernetes release; what refers to what; the environment that each service would start
with, read by its own settings; how pods are secured, probed and connected. Where kubectl or compose are at hand, their own
reading is checked, too.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose
import connections
import kustomization
import pods
import surroundings
import variables
import yaml
from kubernetes_validate.utils import InvalidSchemaError, SchemaNotFoundError, ValidationError, validate

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy" / "k8s"
KUBERNETES = "1.32"
OVERLAYS = (K8S / "base", K8S / "overlays" / "dev")
_LIMIT_SECONDS = 60


def main() -> int:
    """Print every finding; 1 when there is one."""
    findings = [*found()]
    sys.stdout.writelines(f"{finding}\n" for finding in findings)
    return 1 if findings else 0


def found() -> Iterator[str]:
    """All findings."""
    below = ROOT / "deploy"
    broken = [fault for folder in kustomization.folders(below) for fault in kustomization.faults(folder)]
    yield from broken
    if broken:
        return  # what refers to nothing cannot be read any further
    yield from kustomization.orphans(below)
    for path in sorted(K8S.rglob("*.yaml")):
        if path.name != kustomization.FILE:
            yield from invalid(path.relative_to(ROOT).as_posix(), yaml.safe_load_all(path.read_text()))
    for folder in OVERLAYS:
        yield from of_overlay(folder)
    yield from surroundings.faults(ROOT)
    yield from compose.faults(ROOT)


def of_overlay(folder: Path) -> Iterator[str]:
    """What is wrong with what one `kubectl apply -k` would make."""
    name = folder.relative_to(ROOT).as_posix()
    stack = kustomization.read(folder)
    workloads = pods.workloads(stack)
    for workload in workloads:
        yield from (f"{name}: {workload.name}: {fault}" for fault in pods.faults(workload, stack))
        is_whole = folder.name != "base"
        plain = pods.environment(workload, stack)
        if workload.service == "keyvault" and not is_whole:
            plain |= {"TOLLGATE_ADMIN_EMAIL": "admin@example.com"}  # stands in the operator's Secret, as README says
        given = variables.Given(workload.service, plain, has_secrets=True)
        yield from (f"{name}: {workload.name}: {fault}" for fault in variables.faults(given, is_whole=is_whole))
        if is_whole:
            yield from (f"{name}: {fault}" for fault in connections.faults(workload, workloads, stack))
    yield from (f"{name}: {fault}" for fault in pods.versions(stack, version(), is_release=folder.name == "base"))
    yield from rendered(name, folder, stack)


def rendered(name: str, folder: Path, stack: kustomization.Stack) -> Iterator[str]:
    """What is wrong with kubectl's own rendering; nothing where there is no kubectl."""
    if not (kubectl := shutil.which("kubectl")):
        return
    said = subprocess.run(  # noqa: S603 - found on PATH, and it renders a folder of ours
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
    )
    if said.returncode:
        yield f"{name}: kubectl kustomize: {said.stderr.strip().splitlines()[-1]}"
        return
    objects = [*yaml.safe_load_all(said.stdout)]
    yield from invalid(f"{name} rendered", objects)
    yield from (f"{name} rendered: {fault}" for each in objects for fault in pods.unlabelled(each))
    ours = {(each["kind"], each["metadata"]["name"]) for each in stack.every()}
    theirs = {(each["kind"], each["metadata"]["name"]) for each in objects}
    if ours != theirs:
        yield f"{name}: this check reads other objects than kubectl does: {sorted(ours ^ theirs)}"


def invalid(place: str, objects: Any) -> Iterator[str]:
    """What the schemas of Kubernetes say against objects."""
    for each in objects:
        try:
            validate(each, KUBERNETES, strict=True)
        except ValidationError as error:
            where = ".".join(map(str, error.path))
            yield f"{place}: {each.get('kind')} {each['metadata'].get('name')}: {where}: {error.message}"
        except (SchemaNotFoundError, InvalidSchemaError) as error:
            yield f"{place}: {each.get('kind')} {each['metadata'].get('name')}: {error}"


def version() -> str:
    """The version of this release."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


if __name__ == "__main__":
    sys.exit(main())
