#!/bin/sh
# Starts Valkey with the configuration at $1 and the users in the file beside it: `redis.conf`, `redis-users.conf`, a line
# each of a user's name, the variable that holds its password, its rules. Passwords go in by standard input, so that no
# process list shows one.
set -eu
users() {
  while read -r name variable rules; do
    eval "password=\$$variable"
    echo "user $name reset on >$password $rules"
  done < "$1"
}
exec docker-entrypoint.sh valkey-server "$1" - <<CONFIGURATION
requirepass "$REDIS_PASSWORD"
$(users "${1%.conf}-users.conf")
CONFIGURATION
