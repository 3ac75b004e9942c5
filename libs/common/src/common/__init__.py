"""What two or more services share: money, usage, pricing, contracts, and the plumbing to Postgres, NATS and HTTP."""
