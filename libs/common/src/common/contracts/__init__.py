"""What services tell each other: the table of the bus, the events, the snapshots."""
