#!/bin/sh
# Runs a command with what the file /secrets/env sets, where there is one: a volume in docker-compose, none on Kubernetes,
# where the same variables come from a Secret. The secrets never stand in a compose file, an image or `docker inspect`.
set -eu
if [ -f /secrets/env ]; then
  set -a
  . /secrets/env
  set +a
fi
exec "$@"
