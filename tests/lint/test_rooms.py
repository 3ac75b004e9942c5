"""A service has its rooms and no others, and the layers of the gateway name every module it has.

import-linter holds the order of what it is told; this holds that it is told everything.
"""

from __future__ import annotations

import configparser

import pytest
from common.contracts.topology import SERVICES, Service

from .rooms import package_folder
from .tree import ROOT, committed_files

ROOMS = {"__init__", "__main__", "main", "settings", "api", "flows", "store", "domain", "migrations"}
README_LINES = 60
README_PARTS = ("Owns", "Hears", "Says", "Answers", "Never")


def layers(contract: str) -> list[str]:
    """The modules that a layers contract names, top to bottom."""
    rules = configparser.ConfigParser()
    rules.read(ROOT / ".importlinter")
    named = rules[f"importlinter:contract:{contract}"]["layers"].split()
    return [name.strip("()") for name in named if name not in "|:"]


def modules(package: str) -> set[str]:
    """Every module of a service's package, by its dotted name."""
    folder = ROOT / package_folder(package)
    return {
        f"{package}.{'.'.join(path.relative_to(folder).with_suffix('').parts)}"
        for path in committed_files()
        if path.suffix == ".py" and path.is_relative_to(folder) and path.name != "__init__.py"
    }


@pytest.mark.parametrize(
    "service", [service for service in SERVICES if service.has_schema], ids=lambda service: service.name
)
def test_a_database_service_has_every_room(service: Service) -> None:
    folder = ROOT / package_folder(service.package)
    there = {path.stem for path in folder.iterdir() if path.suffix in {"", ".py"} and path.name != "__pycache__"}
    assert there >= ROOMS


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_says_what_it_owns_in_a_short_readme(service: Service) -> None:
    text = (ROOT / "services" / service.name / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= README_LINES
    assert [part for part in README_PARTS if part not in text] == []


def test_the_layers_of_the_gateway_name_every_module() -> None:
    named = layers("gateway-is-layered")
    # What `upstream.client` is made of stands below it: nothing else may import it, so it needs no layer of its own.
    unnamed = {
        module
        for module in modules("gateway")
        if not module.startswith("gateway.upstream.")
        and not any(module == name or module.startswith(f"{name}.") for name in named)
    }
    assert unnamed == set()
