#!/bin/sh
# Starts Valkey with the configuration at $1; the password goes in by standard input, so that no process list shows it.
set -eu
exec docker-entrypoint.sh valkey-server "$1" - <<CONFIGURATION
requirepass "$REDIS_PASSWORD"
CONFIGURATION
