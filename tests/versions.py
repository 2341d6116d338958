"""Versions of packages, for tests of what earlier ones cannot do."""

from importlib.metadata import version


def is_before(package: str, *least: int) -> bool:
    """Tell if an installed package is earlier than a version, as in ``is_before("triton", 3, 5)``."""
    return tuple(map(int, version(package).split(".")[: len(least)])) < least
