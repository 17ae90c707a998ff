"""Cannot be imported."""

raise ValueError("CANARY at import")
