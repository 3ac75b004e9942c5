"""Keeps the request log and what is counted from it."""
