"""AWS's Converse: `requests` reads a call, `answers` writes one, `frames` is the event stream's binary form, `signatures`
checks version 4 of AWS's signature, `wire` puts them together."""
