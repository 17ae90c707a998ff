"""The engines: one file a kind. What its worker runs, and how it is spoken to."""
