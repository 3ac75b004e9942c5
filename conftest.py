"""Fixtures for all tests of the workspace."""

pytest_plugins = ["common.testing.servers", "common.testing.properties"]
