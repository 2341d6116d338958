"""Check the built site: every link and anchor leads somewhere, and nothing is loaded from another host.

    python -m docs.check_site site

Lists the links to other hosts, which are not followed; exit status 1 if anything is wrong.
"""

import os
import re
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_STYLE_URL = re.compile(r"url\(\s*['\"]?([^)'\"]+)|@import\s+['\"]([^'\"]+)")
_LOADED = {"script", "img", "iframe", "source", "video", "audio", "embed", "object", "input"}
_LOADING_RELATIONS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch"}
_SPECIAL = ("data", "mailto", "javascript", "blob")


class Page(HTMLParser):
    """What one page defines, loads and leads to.

    Args:
        text: its HTML.

    Attributes:
        anchors: ids and names.
        loaded: addresses that the browser gets by itself.
        links: addresses that a reader may follow.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag in _LOADED:
            self.loaded += [given[name] for name in ("src", "data", "poster") if given.get(name)]
            self.loaded += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        if tag == "link" and _LOADING_RELATIONS & set(given.get("rel", "").split()):
            self.loaded.append(given.get("href", ""))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        self.loaded += _style_urls(given.get("style", ""))


def check_site(folder: Path) -> tuple[list[str], list[str]]:
    """Follow every link between the pages of a site.

    Args:
        folder: with the built site.

    Returns:
        What is wrong, a line each; and the addresses on other hosts that pages link to, sorted.

    Raises:
        FileNotFoundError: the folder has no page.
    """
    folder = Path(os.path.normpath(folder))
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    if not pages:
        raise FileNotFoundError(f"{folder}: expected a built site, found no HTML file")
    wrong: list[str] = []
    others: set[str] = set()
    for path, page in pages.items():
        name = path.relative_to(folder)
        wrong += [f"{name}: loads {url} from another host" for url in page.loaded if _is_elsewhere(url)]
        others |= {url for url in page.links if _is_elsewhere(url)}
        for url in (*page.loaded, *page.links):
            if not _is_elsewhere(url) and (reason := _reason(url, path, folder, pages)):
                wrong.append(f"{name}: {url}: {reason}")
    for sheet in sorted(folder.rglob("*.css")):
        urls = _style_urls(sheet.read_text(encoding="utf-8"))
        wrong += [f"{sheet.relative_to(folder)}: loads {url} from another host" for url in urls if _is_elsewhere(url)]
    return wrong, sorted(others)


def main(words: Sequence[str]) -> int:
    """Print what was found; 1 if something is wrong."""
    folder = Path(words[0] if words else "site")
    wrong, others = check_site(folder)
    print(f"{folder}: {len(others)} links to other hosts, which are not followed:")
    print("\n".join(f"  {url}" for url in others))
    if wrong:
        print("\n".join(["", *wrong, f"{len(wrong)} wrong"]), file=sys.stderr)
    return int(bool(wrong))


def _style_urls(text: str) -> list[str]:
    return [first or second for first, second in _STYLE_URL.findall(text)]


def _is_elsewhere(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.netloc) or parts.scheme not in ("", *_SPECIAL)


def _reason(url: str, path: Path, folder: Path, pages: dict[Path, Page]) -> str:
    parts = urlsplit(url)
    if parts.scheme in _SPECIAL:
        return ""
    place = unquote(parts.path)
    base = folder if place.startswith("/") else path.parent
    target = Path(os.path.normpath(base / place.lstrip("/"))) if place else path
    if target not in pages:
        if target.is_dir():
            target = target / "index.html"
        if not target.is_file():
            return "there is no such file"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return f"{target.name} has no anchor #{parts.fragment}"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
