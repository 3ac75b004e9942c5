"""`python -m analytics` runs the service."""

from analytics.main import run

run()
