"""How the help of a verb is laid out."""

from jsonargparse import DefaultHelpFormatter


class HelpFormatter(DefaultHelpFormatter):
    """Keeps the lines of the description, so that it can hold examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:  # noqa: ARG002  argparse passes it
        return "".join(indent + line for line in text.splitlines(keepends=True))
