"""Cohere's chat wire, in its second version: `requests` reads a call, `answers` writes one, `wire` puts them together."""
