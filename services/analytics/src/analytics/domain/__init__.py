"""What a call looks like in the log, and how it is counted: frozen records and pure functions, no I/O."""
