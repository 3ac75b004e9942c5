"""pytest plugin: property tests without a stopwatch.

hypothesis fails an example that takes longer than a fifth of a second. On a machine that runs several suites at once
that says something about the machine; how long code may take is what the benchmarks are for.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

_PROFILE = "tollgate"


def pytest_configure(config: pytest.Config) -> None:
    """Have every property of this session tested so."""
    settings.register_profile(_PROFILE, deadline=None)
    settings.load_profile(_PROFILE)
