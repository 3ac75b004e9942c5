"""One module a wire. Wires do not know each other."""
