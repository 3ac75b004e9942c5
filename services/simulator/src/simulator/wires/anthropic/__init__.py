"""Anthropic's Messages, as the provider itself speaks them."""
