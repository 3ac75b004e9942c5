"""The HTTP face: decode, one call to the flows, encode."""
