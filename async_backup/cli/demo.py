"""`async-backup demo` (placeholder until the server is there)."""


def demo() -> None:
    """Demo."""
