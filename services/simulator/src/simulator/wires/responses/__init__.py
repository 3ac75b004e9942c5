"""OpenAI's Responses API, as the providers speak it that have it beside chat."""
