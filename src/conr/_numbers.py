"""Numbers that people write as text."""


def parse_number(text: str) -> float:
    """The number that a text is; what `float` takes, but for the underscores of Python's own numbers.

    Raises:
        ValueError: text that is no number.

    Example:
        >>> parse_number(" 1e3 ")
        1000.0
    """
    if "_" in text:  # 1_10 is a code of someone, not 110
        raise ValueError(f"could not convert string to float: {text!r}")
    return float(text)
