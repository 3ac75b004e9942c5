"""Billing's HTTP API: who may see which part of the books."""
