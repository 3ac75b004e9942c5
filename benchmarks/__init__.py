"""What a call costs: `make bench`."""
