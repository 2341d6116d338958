"""What is said about a dataset before anyone has its files: `conr data describe` prints it."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class DatasetCard:
    """Where a dataset comes from and what its folder holds.

    Args:
        summary: one sentence: inputs, label, what is rare.
        source: where the files are to be had, and the paper.
        licence: of the files, in a few words.
        layout: paths below ``root`` that are read, each with what it is.
        counts: published number of samples per split, where there is one; a deviation is reported by a check.
        notes: deviations from the published protocol, one sentence each.
    """

    summary: str
    source: str
    licence: str
    layout: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
