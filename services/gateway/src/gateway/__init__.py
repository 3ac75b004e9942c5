"""The one door: an OpenAI-compatible gateway that admits, forwards, meters and records every call."""
