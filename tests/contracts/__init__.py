"""What services tell each other, seen from both ends: what is told is what the contract says, and is understood."""
