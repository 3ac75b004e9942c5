"""Where a service's rooms are, and which services there are to look at."""

from __future__ import annotations

from common.contracts.topology import Service

from .tree import ROOT


def package_folder(package: str) -> str:
    """Where a service's package lies, from the root: `services/catalog-sync/src/catalog_sync`."""
    return f"services/{package.replace('_', '-')}/src/{package}"


def is_built(service: Service) -> bool:
    """Whether a service can be started already."""
    return (ROOT / package_folder(service.package) / "main.py").is_file()
