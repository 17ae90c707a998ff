"""Attempts to break out, made from inside the very sandboxes that the platform uses. Standard library only.

Each probe tries to go through one door. It is written so that without a sandbox it gets through (where the host and the
user allow it): tests run it both ways, so a probe that could never fail is found.
"""
