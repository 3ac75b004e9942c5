"""HTTP: a router a subject. Decode, one call to the flows, encode; no SQL, no rules."""
