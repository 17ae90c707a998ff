"""What people decide: use cases, models and keys, kept in a process of its own that compiles and signs the policy."""
