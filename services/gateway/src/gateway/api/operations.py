"""The doors of one request and one answer: which path asks for which operation, and how its body is read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from gateway.api.chat import ChatRequest
from gateway.api.embeddings import parse_embeddings

OPERATIONS: Mapping[str, Callable[[bytes], ChatRequest]] = MappingProxyType({"/embeddings": parse_embeddings})
"""What follows the version in a path, and what reads a body that is sent there (it raises Refusal)."""
