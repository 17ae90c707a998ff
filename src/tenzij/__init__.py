"""tenzij ("lokaal, tenzij"): AI models on the organisation's own machines; nothing leaves without an exception."""

__version__ = "0.1.0"
