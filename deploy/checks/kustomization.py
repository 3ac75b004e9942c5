"""Reads a kustomization as far as ours go: resources, generated config maps and their merging, image tags, replicas.

No patches, prefixes or hashes, so that what a folder makes can be known without kubectl; where kubectl is at hand
`manifests` compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FILE = "kustomization.yaml"
_UNDERSTOOD = {
    *("apiVersion", "kind", "namespace", "resources", "labels", "generatorOptions", "configMapGenerator"),
    *("replicas", "images"),
}


@dataclass
class Stack:
    """What one kustomization makes. `tags` by image, `config` by name of a config map."""

    objects: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, dict[str, str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def of_kind(self, *kinds: str) -> list[dict[str, Any]]:
        """Its objects of some kinds."""
        return [each for each in self.objects if each["kind"] in kinds]

    def every(self) -> list[dict[str, Any]]:
        """Its objects and the config maps."""
        maps = [{"kind": "ConfigMap", "metadata": {"name": name}} for name in self.config]
        return [*self.objects, *maps]


def folders(below: Path) -> list[Path]:
    """Every folder with a kustomization."""
    return [path.parent for path in sorted(below.rglob(FILE))]


def read(folder: Path) -> Stack:
    """What `kubectl apply -k` would make of a folder."""
    wanted = _content(folder)
    stack = Stack()
    for resource in wanted.get("resources", []):
        path = folder / resource
        if path.is_dir():
            below = read(path)
            stack.objects += below.objects
            stack.config |= below.config
            stack.tags |= below.tags
        else:
            stack.objects += [each for each in yaml.safe_load_all(path.read_text()) if each]
    for generator in wanted.get("configMapGenerator", []):
        there = stack.config.get(generator["name"], {}) if generator.get("behavior") == "merge" else {}
        stack.config[generator["name"]] = there | _generated(folder, generator)
    stack.tags |= {image["name"]: str(image["newTag"]) for image in wanted.get("images", [])}
    return stack


def faults(folder: Path) -> Iterator[str]:
    """What a kustomization refers to and is not there, and what this module would not understand."""
    wanted = _content(folder)
    place = f"{folder.parent.name}/{folder.name}/{FILE}"
    yield from (f"{place}: {name} is more than the checks understand" for name in sorted(wanted.keys() - _UNDERSTOOD))
    files = [name for each in wanted.get("configMapGenerator", []) for name in each.get("files", [])]
    for name in [*wanted.get("resources", []), *files]:
        path = folder / name
        if not path.exists() or (path.is_dir() and not (path / FILE).exists()):
            yield f"{place}: {name} does not exist"
    if wanted.get("configMapGenerator") and not wanted.get("generatorOptions", {}).get("disableNameSuffixHash"):
        yield f"{place}: config maps must keep their names (generatorOptions.disableNameSuffixHash)"


def orphans(below: Path) -> Iterator[str]:
    """Manifests that no kustomization names: they would never be applied."""
    for folder in folders(below):
        named = {(folder / name).resolve() for name in _content(folder).get("resources", [])}
        for path in sorted(folder.glob("*.yaml")):
            if path.name != FILE and path.resolve() not in named:
                yield f"{path.relative_to(below.parent).as_posix()}: no kustomization names it"


def _content(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / FILE).read_text())
    return content


def _generated(folder: Path, generator: dict[str, Any]) -> dict[str, str]:
    literals = dict(literal.split("=", 1) for literal in generator.get("literals", []))
    return literals | {name: (folder / name).read_text() for name in generator.get("files", [])}
