"""OpenAI's chat completions wire, as OpenAI and the providers that copied it speak it.

`rows` says who differs in what; `requests` reads a call, `whole` and `stream` write an answer, `usage`, `errors`,
`headers` and `models` what their names say. All of it is pure.
"""
