"""Providers' languages, purely: bytes in, bytes and facts out. No I/O."""
