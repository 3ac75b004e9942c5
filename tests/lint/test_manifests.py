"""Every Kubernetes manifest, kustomization and compose file parses; each object is what Kubernetes' own schema says.

A patch of an overlay names only what it changes, so it is held to name an object that some base has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from kubernetes_validate import utils as kubernetes

from .tree import ROOT, committed_files

K8S = ROOT / "deploy" / "k8s"
KUSTOMIZATION = "kustomization.yaml"

Object = dict[str, Any]


def yaml_files(folder: Path) -> list[Path]:
    """The committed YAML files below a folder."""
    return [path for path in committed_files() if path.suffix in {".yaml", ".yml"} and path.is_relative_to(folder)]


def objects(path: Path) -> Iterator[Object]:
    """The objects of a manifest; a List is its items."""
    for found in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        if found is not None:
            yield from found["items"] if found["kind"] == "List" else [found]


def identity(found: Object) -> tuple[str, str]:
    """Kind and name of an object."""
    return found["kind"], found["metadata"]["name"]


def patches_of(kustomization: Path) -> set[Path]:
    """The files that a kustomization lays over others."""
    asked = yaml.safe_load(kustomization.read_text(encoding="utf-8"))
    named = [patch["path"] for patch in asked.get("patches", []) if "path" in patch]
    return {(kustomization.parent / name).resolve() for name in named}


def missing_from(kustomization: Path) -> list[str]:
    """The resources, patches and components of a kustomization that are not there."""
    asked = yaml.safe_load(kustomization.read_text(encoding="utf-8"))
    named = [*asked.get("resources", []), *asked.get("components", [])]
    named += [patch["path"] for patch in asked.get("patches", []) if "path" in patch]
    return [f"{kustomization}: {name}" for name in named if not (kustomization.parent / name).exists()]


def fault(found: Object) -> str | None:
    """What is wrong with a whole object; None when nothing is."""
    try:
        kubernetes.validate(found, kubernetes.latest_version(), strict=True)
    except (kubernetes.ValidationError, kubernetes.InvalidSchemaError) as error:
        return f"{identity(found)}: {error}"
    except kubernetes.SchemaNotFoundError:
        return f"{identity(found)}: Kubernetes has no such kind"
    return None


def test_every_kustomization_names_files_that_are_there() -> None:
    assert [said for path in yaml_files(K8S) if path.name == KUSTOMIZATION for said in missing_from(path)] == []


def test_every_manifest_is_what_kubernetes_takes() -> None:
    manifests = [path for path in yaml_files(K8S) if path.name != KUSTOMIZATION]
    patches = {patch for path in yaml_files(K8S) if path.name == KUSTOMIZATION for patch in patches_of(path)}
    whole = [found for path in manifests if path.resolve() not in patches for found in objects(path)]
    partial = [found for path in manifests if path.resolve() in patches for found in objects(path)]
    assert [said for found in whole if (said := fault(found))] == []
    assert {identity(found) for found in partial} <= {identity(found) for found in whole}


def test_every_compose_file_parses_and_gives_each_service_an_image_or_a_build() -> None:
    for path in committed_files():
        if path.name.startswith("docker-compose") and path.suffix in {".yml", ".yaml"}:
            services = yaml.safe_load(path.read_text(encoding="utf-8"))["services"]
            assert [name for name, one in services.items() if not {"image", "build", "extends"} & set(one)] == []


def test_a_wrong_manifest_is_found() -> None:
    right: Object = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}]}}
    assert fault(right) is None
    assert fault({**right, "spec": {"ports": [{"port": "one"}]}})
    assert fault({**right, "spec": {"prots": []}})
    assert fault({**right, "kind": "Sevrice"})
