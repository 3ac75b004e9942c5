"""Fixtures for all tests of the workspace, and how hypothesis searches.

A run must say the same of the same code, so examples are derived from the test and not drawn; `HYPOTHESIS_SEARCH=1`
draws anew each time, for whoever wants to look for more.
"""

from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = ["common.testing.servers"]

settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, max_examples=1_000)
settings.load_profile("search" if os.environ.get("HYPOTHESIS_SEARCH") else "steady")
