"""Where billing's facts are kept: SQL, one function a statement; the counters in Redis; what the bus says of a consumer."""
