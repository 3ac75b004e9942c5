"""What keyvault knows about accounts, keys, credentials and the audit trail. Pure: no I/O anywhere below."""
