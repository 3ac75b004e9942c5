"""What a service tells of itself: log lines, metrics, traces. Never a body, a prompt or a secret."""
