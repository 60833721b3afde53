"""Whether a built site is whole: every link and anchor leads somewhere, and nothing is fetched from a network."""

import re
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from ehrdocs.files import FILES

#: Elements that fetch what they name, and the attribute that names it; other links are for the reader to follow.
_FETCHING: Final = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}
#: Links of a page's head that name other pages, and fetch nothing.
_NAMING: Final = frozenset({"next", "prev", "canonical", "search", "index", "top"})
_HOST: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE)
_FETCHED_BY_STYLE: Final = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])(?:https?:)?//", re.IGNORECASE)


#: A tag with its name, and an attribute with its value: builders escape what else could look like one.
_TAG: Final = re.compile(r"<([a-z][a-z0-9]*)\s([^>]*)>")
_ATTRIBUTE: Final = re.compile(r"""([a-z-]+)=(?:"([^"]*)"|'([^']*)')""")


@dataclass(frozen=True, slots=True)
class Page:
    """The anchors of a page, what it links to, and what it fetches."""

    anchors: set[str]
    links: set[str]
    fetched: set[str]


def check_site(folder: Path) -> list[str]:
    """What is wrong with the site in ``folder``, a line each, sorted; empty if nothing is."""
    folder = folder.resolve()
    pages = {path: read_page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))
             if not _is_copy(path, folder)}  # fmt: skip
    found: list[str] = []
    for path, page in pages.items():
        name = path.relative_to(folder).as_posix()
        found += [f"{name}: {why}: {target}" for target in page.links if (why := _judge_link(path, target, pages))]
        found += [f"{name}: fetched from elsewhere, or not there: {target}"
                  for target in page.fetched if not _is_here(path, target)]  # fmt: skip
    for path in sorted(folder.rglob("*.css")):
        if _FETCHED_BY_STYLE.search(path.read_text(encoding="utf-8")):
            found.append(f"{path.relative_to(folder).as_posix()}: fetches from a network")
    return sorted(found)


def read_page(text: str) -> Page:
    """What stands in a page's tags."""
    page = Page(set(), set(), set())
    for tag, rest in _TAG.findall(text):
        found = {name: unescape(double or single) for name, double, single in _ATTRIBUTE.findall(rest)}
        page.anchors.update(found[name] for name in ("id", "name") if name in found)
        if tag == "a" and "href" in found:
            page.links.add(found["href"])
        elif _FETCHING.get(tag) in found and found.get("rel") not in _NAMING:
            page.fetched.add(found[_FETCHING[tag]])
    return page


def _judge_link(path: Path, target: str, pages: dict[Path, Page]) -> str:
    """Why a link leads nowhere, '' if it leads somewhere; addresses elsewhere are judged by their form."""
    parts = urlsplit(target)
    if parts.scheme == "mailto":
        return ""
    if parts.scheme or parts.netloc:
        is_address = parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.hostname or "")
        return "" if is_address else "no address"
    aim = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not aim.is_file():
        return "no such file"
    anchor = unquote(parts.fragment)
    return "no such anchor" if anchor and aim in pages and anchor not in pages[aim].anchors else ""


def _is_here(path: Path, target: str) -> bool:
    parts = urlsplit(target)
    if parts.scheme == "data":
        return True
    return not parts.scheme and not parts.netloc and (path.parent / unquote(parts.path)).is_file()


def _is_copy(path: Path, folder: Path) -> bool:
    """A report that was copied as it is: it is checked where it is made."""
    return path.is_relative_to(folder / FILES) and path.name.count(".") == 1
