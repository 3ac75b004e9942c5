"""The providers' wires: each reads its provider's requests and writes its answers, and knows no other."""
