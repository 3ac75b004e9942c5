"""`Idempotency-Key`: one call, however often it is sent."""
