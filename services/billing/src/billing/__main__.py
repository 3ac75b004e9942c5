"""`python -m billing` runs the service."""

from billing.main import run

run()
