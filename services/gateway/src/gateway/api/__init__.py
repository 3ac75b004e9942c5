"""The ways in over HTTP: one module a front door, and the plain ASGI app around them."""
