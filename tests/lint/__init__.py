"""What the house forbids and no off-the-shelf linter knows: one file a rule, part of `make lint` and of `make test`."""
