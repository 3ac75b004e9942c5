"""What is known of each provider, as rows of a table."""
