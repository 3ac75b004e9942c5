"""Who is asked over HTTP: providers, for their bills."""
