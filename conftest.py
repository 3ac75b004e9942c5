"""Fixtures for all tests of the workspace, and how hypothesis searches.

A run must say the same of the same code, so examples are derived from the test and not drawn, and forty of them do: the
same ones again find nothing new. `HYPOTHESIS_SEARCH=1` (`make test-slow`) draws a thousand anew each time.
"""

from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = ["common.testing.servers"]

settings.register_profile("steady", derandomize=True, deadline=None, max_examples=40)
settings.register_profile("search", deadline=None, max_examples=1_000)
settings.load_profile("search" if os.environ.get("HYPOTHESIS_SEARCH") else "steady")
