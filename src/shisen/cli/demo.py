"""Stub, replaced by its owner."""


def demo() -> None:
    """To come."""
