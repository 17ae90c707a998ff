"""The HTTP edge: the OpenAI-compatible API, one request's journey, and the relay of its answer."""
