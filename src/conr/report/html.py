"""Pages out of templates: how every HTML file of this package is made and written."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from conr.runs.atomic import write_whole


def write_page(out: Path, package: str, template: str, **values: Any) -> Path:
    """Fill a template and write the page, complete or not at all.

    Args:
        out: the file; its folder is made.
        package: whose folder ``templates`` has the template.
        template: its name.
        values: what the template names; a name without a value is an error.

    Returns:
        ``out``.

    Raises:
        OSError: the page cannot be written; an earlier one is then still there.
    """
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(**values)
    out.parent.mkdir(parents=True, exist_ok=True)
    return write_whole(out, lambda file: file.write(page.encode()))
