"""The rules of the ledger: frozen records and pure functions, no I/O."""
