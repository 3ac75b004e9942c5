"""The fault harness: a whole Tollgate, a seeded workload, a seeded nemesis, and three journals that must agree."""
