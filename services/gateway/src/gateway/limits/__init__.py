"""What a call may use: rate windows and budgets, decided and settled in Redis."""
