"""SQL: one function a statement, rows in and records out. No decisions, no clock, no transactions."""
