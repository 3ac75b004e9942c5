"""Owns accounts, virtual keys, provider credentials and the audit trail."""
