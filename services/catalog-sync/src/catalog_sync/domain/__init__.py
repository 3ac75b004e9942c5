"""What a catalog is: frozen records and pure functions, without any I/O."""
