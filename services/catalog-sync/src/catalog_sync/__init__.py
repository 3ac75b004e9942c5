"""Owns providers, models, dated prices, aliases and tier rules."""
