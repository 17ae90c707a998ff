"""How the processes speak: `control` to the supervisor (messages and descriptors), `frames` to each other (bytes)."""
