"""The gateway's way out: everything that speaks to a provider over the network.

`client` is what the rest of the gateway imports from; `request`, `response`, `inflate`, `errors`, `connection`, `pool`
and `dial` are its parts, one subject each. Which provider to call, what a status means and when to fall back is decided
elsewhere.
"""
