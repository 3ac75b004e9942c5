"""`python -m catalog_sync` starts the service."""

from catalog_sync.main import run

run()
