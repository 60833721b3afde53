"""Files of the repository on the site: which page shows one, and the pages that show sources with their lines.

Pages link to files as they lie in the repository, so that the links work there, too.  On the site, a file that a page
includes is that page; every other one that is linked to becomes a page below ``_files`` (or a copy, where a browser
shows it by itself), so the site is whole without the repository.
"""

import posixpath
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
#: Where the pages lie in the repository, and where its files lie on the site.
DOCS, FILES = "docs", "_files"
#: How an address begins that names a file of the repository.
SCHEME: Final = "repo"
PICTURES: Final = frozenset({".png", ".svg"})
#: What a browser shows as it is.
SHOWN: Final = PICTURES | {".html", ".pdf"}
_INCLUDE: Final = re.compile(r"^```\{include\} (\S+)$", re.MULTILINE)

#: Without the site's navigation: it would take longer to write than all the rest.
_SOURCE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{path} - ehrbench</title>
<link rel="stylesheet" href="{top}_static/pygments.css">
<link rel="stylesheet" href="{top}_static/site.css">
</head>
<body class="source">
<p><a href="{top}index.html">ehrbench</a> / <code>{path}</code></p>
{code}</body>
</html>
"""


def list_pages() -> dict[str, Path]:
    """Every page of the site by its name, such as ``extend/index``."""
    folder = ROOT / DOCS
    paths = [path for path in sorted(folder.rglob("*.md")) if not path.relative_to(folder).parts[0].startswith("_")]
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def find_included(pages: Mapping[str, Path]) -> dict[str, str]:
    """File of the repository, by path from its root -> the page that includes it."""
    found: dict[str, str] = {}
    for name, path in pages.items():
        for target in _INCLUDE.findall(path.read_text(encoding="utf-8")):
            found[_join(f"{DOCS}/{name}.md", target)] = name
    return found


def resolve_link(target: str, source: str, page: str, included: Mapping[str, str]) -> str:
    """What a link in the file ``source`` (by path from the root), which ``page`` shows, has to be on the site."""
    path, hash_sign, fragment = target.partition("#")
    full = _join(source, path)
    shown_by = included.get(full) or (full[len(DOCS) + 1 : -3] if _is_page(full) else None)
    if shown_by is not None:
        full = f"{DOCS}/{shown_by}.md"
    elif posixpath.splitext(full)[1] not in PICTURES:
        return f"{SCHEME}:{full}{hash_sign}{fragment}"
    return posixpath.relpath(full, posixpath.dirname(f"{DOCS}/{page}")) + hash_sign + fragment


def require_file(path: str) -> Path:
    """The file of the repository at ``path``; `FileNotFoundError` says what is linked to in vain."""
    found = ROOT / path
    if not found.is_file():
        raise FileNotFoundError(f"link: expected a file of the repository, found none at {path}")
    return found


def render_source(path: str) -> str:
    """The page of a source: its lines numbered and coloured, each with the anchor ``L-NUMBER``."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import TextLexer, get_lexer_for_filename
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_for_filename(posixpath.basename(path))
    except ClassNotFound:
        lexer = TextLexer()
    formatter = HtmlFormatter(linenos="inline", lineanchors="L")
    code = highlight(require_file(path).read_text(encoding="utf-8"), lexer, formatter)
    return _SOURCE.format(top="../" * (path.count("/") + 1), path=escape(path), code=code)


def _is_page(path: str) -> bool:
    return path.startswith(f"{DOCS}/") and path.endswith(".md")


def _join(source: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
