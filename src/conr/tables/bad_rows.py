"""Samples that cannot be used: the first one stops loading, or all are left out and counted."""

import warnings
from collections.abc import Sequence

from conr._hints import switch

_LONGEST = 80


def shown(value: object) -> str:
    """A cell in a message, cut if it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\u2026"


class BadRows:
    """Collects what is wrong with the rows of a table of samples.

    Args:
        source: the file whose rows they are, as messages name it.
        skip: leave bad rows out instead of raising.
    """

    def __init__(self, source: object, *, skip: bool) -> None:
        self.source = str(source)
        self.skip = skip
        self.problems: dict[int, str] = {}

    def add(self, row: int, problem: str) -> None:
        """Record a bad row.

        Args:
            row: number of the row in the file as a person counts: from 1, a header line included.
            problem: what was expected and what came.

        Raises:
            ValueError: bad rows are not to be skipped; the message names the file and the row.
        """
        self.problems.setdefault(row, problem)
        if not self.skip:
            self.refuse()

    def refuse(self) -> None:
        """Raise for the first bad row, if there is one.

        Raises:
            ValueError: see above.
        """
        for row in sorted(self.problems)[:1]:
            raise ValueError(
                f"{self.source}, row {row}: {self.problems[row]} ({switch('skip_bad')} leaves such rows out)"
            )

    def finish(self, total: int) -> list[int]:
        """Warn of how many rows are left out, and return their numbers in order.

        Raises:
            ValueError: no row is left.
        """
        if self.problems:
            first = min(self.problems)
            if len(self.problems) == total:
                raise ValueError(f"{self.source}: expected usable rows, got none of {total}; {self._example(first)}")
            warnings.warn(
                f"{self.source}: {len(self.problems)} of {total} rows left out; {self._example(first)}", stacklevel=2
            )
        return sorted(self.problems)

    def _example(self, row: int) -> str:
        return f"the first is row {row}: {self.problems[row]}"


def check_splits_are_filled(
    source: object, sizes: dict[str, int], needed: Sequence[str] = ("train", "val", "test")
) -> None:
    """Require samples in every split.

    Raises:
        ValueError: an empty or missing split; the message names the file and the sizes of all splits.
    """
    empty = [split for split in needed if not sizes.get(split)]
    if empty:
        found = ", ".join(f"{split} {size}" for split, size in sizes.items()) or "none"
        raise ValueError(f"{source}: expected samples in {', '.join(needed)}, got none in {', '.join(empty)} ({found})")
