"""The commands, by subject; each decodes its options, calls one function and prints what came of it."""
