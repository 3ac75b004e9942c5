"""Analytics' HTTP API: the request log, and what calls cost."""
