"""tenzij ("lokaal, tenzij"): AI models on the organisation's own machines; a request leaves only under a granted exception."""

__version__ = "0.1.0"
