"""Who asks: keys, and later tokens, roles and rights. Pure."""
