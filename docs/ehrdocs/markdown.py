"""Markdown as the pages are written in: tables, anchors, links, code blocks, and what is generated in between.

Nothing here needs Sphinx, so the tests of the pages do not either.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_FENCE: Final = re.compile(r"^\s*(`{3,}|~{3,})(.*)$")
_TARGET: Final = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
_ABSOLUTE: Final = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_PLACE: Final = re.compile(r"^<!-- generated: ([a-z-]+)((?: \S+)*) -->$")
#: What writes a generated part: it takes the words after its name and returns Markdown.
Maker = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Fence:
    """A code block: its language, the other words after it, its text, and the line that it begins on (from 1)."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int


def walk_lines(text: str) -> Iterator[tuple[str, bool]]:
    """Every line, and whether it belongs to a code block."""
    return ((line, part != "text") for line, part in _walk_parts(text))


def list_fences(text: str) -> list[Fence]:
    """Every code block of a page, in order."""
    fences: list[Fence] = []
    info, begin, body = "", 0, list[str]()
    for number, (line, part) in enumerate(_walk_parts(text), start=1):
        if part == "open":
            info, begin, body = line.strip().lstrip("`~"), number, []
        elif part == "body":
            body.append(f"{line}\n")
        elif part == "close":
            language, *words = info.split() or [""]
            fences.append(Fence(language, tuple(words), "".join(body), begin))
    return fences


def slugify(title: str) -> str:
    """The anchor of a heading, as repositories' pages and MyST make it."""
    return re.sub(r"[^\w\- ]", "", title.lower().replace(" ", "-"))


def list_anchors(text: str) -> list[str]:
    """The anchors of a page's headings, in order, each once."""
    anchors: list[str] = []
    for line, is_code in walk_lines(text):
        if not is_code and (found := re.match(r"#{1,6} +(.+?)\s*$", line)):
            slug = base = slugify(found[1])
            number = 0
            while slug in anchors:
                number += 1
                slug = f"{base}-{number}"
            anchors.append(slug)
    return anchors


def list_links(text: str) -> list[str]:
    """Targets of all links and images outside of code blocks."""
    return [target for line, is_code in walk_lines(text) if not is_code for target in _TARGET.findall(_bare(line))]


def is_relative(target: str) -> bool:
    """Whether a link's target is a file beside the page, rather than an address or an anchor of the page itself."""
    return not target.startswith("#") and not _ABSOLUTE.match(target)


def rewrite_links(text: str, resolve: Callable[[str], str]) -> str:
    """The page with each relative target replaced by what ``resolve`` makes of it."""

    def replace(found: re.Match[str]) -> str:
        return resolve(found[0]) if is_relative(found[0]) else found[0]

    return _map_lines(text, lambda line: [_TARGET.sub(replace, line)])


def fill_places(text: str, makers: Mapping[str, Maker]) -> str:
    """The page with each line ``<!-- generated: NAME WORDS -->`` followed by what ``makers[NAME]`` writes."""

    def fill(line: str) -> list[str]:
        found = _PLACE.match(line)
        return [line, "", *makers[found[1]](*found[2].split()).splitlines()] if found else [line]

    return _map_lines(text, fill)


def list_places(text: str) -> list[str]:
    """Names of all generated parts of a page."""
    return [found[1] for line, is_code in walk_lines(text) if not is_code and (found := _PLACE.match(line))]


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; whatever the cells hold stays within them."""
    lines = [_row(headings), "|" + "---|" * len(headings), *map(_row, rows)]
    return "\n".join(lines)


def code(value: object) -> str:
    """``value`` as inline code."""
    return f"`{value}`" if str(value) else ""


def _walk_parts(text: str) -> Iterator[tuple[str, str]]:
    """Every line, and whether it is text, or opens, is in or closes a code block."""
    fence = ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if not fence:
            fence = found[1] if found else ""
            yield line, "open" if fence else "text"
        elif found and found[1].startswith(fence) and not found[2].strip():
            fence = ""
            yield line, "close"
        else:
            yield line, "body"


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |"


def _bare(line: str) -> str:
    return re.sub(r"`[^`]*`", "", line)


def _map_lines(text: str, change: Callable[[str], list[str]]) -> str:
    lines = [new for line, is_code in walk_lines(text) for new in ([line] if is_code else change(line))]
    return "\n".join(lines) + "\n"
