"""The `tollgate` command and the single-machine runner.

`make run` is `tollgate run`: own servers where none are given (`stack`), migrations, streams, services, first accounts
and keys (`seed`), all under one supervisor (`supervisor`) that restarts what crashes and leaves nothing behind. It knows
services by name and settings only and imports none of them.
"""
