"""Fixtures of these tests: their database has no service's schema in it."""

from __future__ import annotations

import pytest_asyncio
from common.testing.servers import TestDatabase


@pytest_asyncio.fixture
async def database(database: TestDatabase) -> TestDatabase:
    """A database of this test's own, empty."""
    await database.create()
    return database
