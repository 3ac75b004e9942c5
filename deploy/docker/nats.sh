#!/bin/sh
# Starts NATS with the configuration at $1 and the users beside it. The server reads a variable's value as if it stood in
# the configuration itself, so a password that begins like a number must be given in quotes.
set -eu
for variable in $(env | sed -n 's/^\([A-Z_]*NATS_PASSWORD\)=.*/\1/p'); do
  eval "export $variable=\"\\\"\$$variable\\\"\""
done
exec nats-server -c "$1"
