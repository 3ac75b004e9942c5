"""SQL, one function a statement, and the marks in Redis: rows in, domain objects out. No decisions, no clocks."""
