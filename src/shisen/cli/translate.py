"""Stub, replaced by its owner."""


def translate() -> None:
    """To come."""
