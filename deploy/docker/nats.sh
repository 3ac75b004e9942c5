#!/bin/sh
# Starts NATS with the configuration at $1. The server reads a variable's value as if it stood in the configuration
# itself, so a password that begins like a number must be given in quotes.
set -eu
NATS_PASSWORD="\"$NATS_PASSWORD\""
export NATS_PASSWORD
exec nats-server -c "$1"
