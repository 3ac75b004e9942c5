"""Speaks providers' wires and misbehaves on command; used by make run, tests and benchmarks."""
