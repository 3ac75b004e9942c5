"""`python -m simulator`: starts the simulator with the settings of the environment."""

from __future__ import annotations

import sys

from simulator.main import run

if __name__ == "__main__":
    sys.exit(run())
