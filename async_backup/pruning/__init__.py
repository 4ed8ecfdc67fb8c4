"""Removing old archives by a policy: decided for each entry, careful about what is removed."""
