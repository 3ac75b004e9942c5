"""How services speak to Postgres: pools, migrations, and the transactional outbox."""
