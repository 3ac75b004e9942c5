"""Where a service's rooms are."""

from __future__ import annotations


def package_folder(package: str) -> str:
    """Where a service's package lies, from the root: `services/catalog-sync/src/catalog_sync`."""
    return f"services/{package.replace('_', '-')}/src/{package}"
