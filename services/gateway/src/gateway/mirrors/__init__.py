"""What the gateway knows of keys, catalog and credentials: pushed to it, held in memory, asked of nobody."""
