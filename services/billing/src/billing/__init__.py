"""Keeps the double-entry ledger of what every call cost."""
