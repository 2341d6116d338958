"""The look of pages and pictures: colours that any eye tells apart, SVG that follows the page's light or dark."""

import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import quoteattr

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axis import Axis
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from conr.report.aggregate import DatasetRuns
from conr.report.tables import REGION_TITLES
from conr.runs.atomic import write_whole

# A colour that nothing else has: it stands for the page's text colour, which is not known when the picture is drawn.
INK = "#010203"
INK_ON_WHITE = "#1f2328"
WIDTH, HEIGHT = 4.6, 3.0  # inches; its text is then readable on a phone

SQUARE = WIDTH * 0.82  # height of a picture of the plane with a bar of colours

# The rarer, the stronger.
REGION_COLORS = {"many": "#c6b9e6", "median": "#9f82d6", "few": "#7445bd"}
REGION_SHADES = {"many": 0.0, "median": 0.08, "few": 0.17}

# After Okabe and Ito, told apart with any colour vision; their blue a little lighter, for dark pages.
BASELINE_COLOR = "#878d97"
_METHOD_COLORS = ("#1f83cb", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LINE_STYLES = ("-", "--", "-.", ":")
# A method and the same one with conr share a look; neighbours differ in colour and marker.
BASELINE_LOOK = (BASELINE_COLOR, "o")
_MARKERS = ("o", "s", "^", "D", "v", "p", "h")
FAMILY_LOOKS = tuple(zip(_METHOD_COLORS * len(_MARKERS), _MARKERS * len(_METHOD_COLORS), strict=True))


class MethodStyles:
    """Colour and line style of each method, the same in all pictures of a page; the baseline of each group is grey."""

    def __init__(self, groups: Iterable[DatasetRuns]) -> None:
        self._style: dict[str, tuple[str, str]] = {}
        styles = ((color, line) for line in itertools.cycle(_LINE_STYLES) for color in _METHOD_COLORS)
        for group in groups:
            baseline, *others = group.methods
            self._style.setdefault(baseline, (BASELINE_COLOR, "-"))
            for method in others:
                if method not in self._style:
                    self._style[method] = next(styles)

    def color(self, method: str) -> str:
        """Colour of lines and points."""
        return self._style[method][0]

    def line(self, method: str) -> dict[str, Any]:
        """Arguments of a line."""
        color, style = self._style[method]
        return {"color": color, "linestyle": style, "label": _legend_label(method)}


def _legend_label(method: str) -> str:
    # matplotlib leaves names with a leading underscore out of legends.
    return f"\N{ZERO WIDTH SPACE}{method}" if method.startswith("_") else method


def label_colors() -> Colormap:
    """Colours of labels from low to high."""
    # Without the ends: they vanish on a white or on a black page.
    return LinearSegmentedColormap.from_list("labels", mpl.colormaps["plasma"](np.linspace(0.18, 0.86, 256)))


def name_powers(axis: Axis) -> None:
    """Plain numbers at 1, 2 and 5 of each power of ten, for a logarithmic axis.

    matplotlib writes them as formulas, which `drawing` does not read: a name may have a dollar sign.
    """
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def count_whole(axis: Axis) -> None:
    """No ticks between whole numbers, for an axis of epochs or trials."""
    axis.set_major_locator(MaxNLocator(integer=True))


@contextmanager
def drawing(ink: str = INK) -> Iterator[None]:
    """Draw in the report's style, text and axes in the colour ``ink``, whatever the user's settings are."""
    colors = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style: dict[Any, Any] = {
        **dict.fromkeys(colors, ink),
        "font.size": 10.5,
        "font.family": "sans-serif",
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "conr",
        "text.parse_math": False,
        "savefig.dpi": 200,
    }
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(style)
        yield


class Picture(NamedTuple):
    """A figure of a page: its title, how to read it, and the drawing, or why there is none."""

    title: str
    caption: str
    svg: Markup | None


def page_picture(
    title: str, caption: str, description: str, draw: Callable[[Figure], object], *, height: float = HEIGHT
) -> Picture:
    """Draw a figure of a page.

    Args:
        title: above it.
        caption: how to read it.
        description: what a screen reader says.
        draw: fills the empty figure; a ValueError says why it cannot.
        height: in inches.

    Returns:
        The figure; without a drawing and with the reason as caption if ``draw`` gave one.
    """
    with drawing():
        figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="none")
        try:
            draw(figure)
            svg = inline_svg(figure, description)
        except ValueError as error:
            return Picture(title, f"Not drawn: {error}.", None)
    return Picture(title, caption, Markup(svg))  # noqa: S704  matplotlib has escaped the text in it


def save_picture(figure: Figure, out: Path, *, dpi: int | None = None, kind: str = "png") -> Path:
    """Write the picture, complete or not at all, into its folder, which is made if needed; return its path.

    Raises:
        OSError: it cannot be written; the message names it, and an earlier one is then still there.
    """
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=dpi)
    out.parent.mkdir(parents=True, exist_ok=True)
    return write_whole(out, lambda file: file.write(content.getbuffer()))


def write_png(
    out: Path, draw: Callable[[Figure], object], *, width: float = WIDTH, height: float = HEIGHT, kind: str = "png"
) -> Path:
    """Let a function fill a figure for documents, on white, of a size in inches; write it as `save_picture` does."""
    with drawing(INK_ON_WHITE):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        draw(figure)
        return save_picture(figure, out, dpi=160, kind=kind)


_picture_numbers = itertools.count()


def inline_svg(figure: Figure, description: str) -> str:
    """The picture as an ``<svg>`` element of a page.

    Args:
        figure: drawn inside `drawing`; what has the colour ``INK`` takes the page's text colour.
        description: what a screen reader says.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # its rules would hold for the whole page
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = svg.replace(INK, "currentColor")
    # Several pictures share one page: ids that are referred to become unique, the others go.
    prefix = f"picture{next(_picture_numbers)}-"
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{prefix}{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r'(href="|url\()#', rf"\g<1>#{prefix}", svg)
    size = re.compile(r'<svg[^>]*?(viewBox="[^"]+")[^>]*>')
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f"aria-label={quoteattr(description)} "
    )
    return size.sub(lambda found: f"{head}{found[1]}>", svg, count=1)


def write_page(out: Path, template: str, **values: Any) -> Path:
    """Fill a template of the folder ``templates`` and write the page, complete or not at all; return its path.

    Raises:
        OSError: the page cannot be written; an earlier one is then still there.
    """
    loader = PackageLoader("conr.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"region_marks": {REGION_TITLES[region]: color for region, color in REGION_COLORS.items()}}
    page = environment.get_template(template).render(**values)
    out.parent.mkdir(parents=True, exist_ok=True)
    return write_whole(out, lambda file: file.write(page.encode()))
