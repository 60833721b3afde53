"""The site's Sphinx extension: generated parts, links to files of the repository, and a check of what was built.

Pages are Markdown that reads well in the repository, too.  A line ``<!-- generated: NAME -->`` is followed on the site
by what a function here computes from the code, so no default, column or option is ever typed.  The work is done on the
text, before MyST reads it; no other module of this package needs Sphinx.
"""

import posixpath
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from ehrdocs.checking import check_site
from ehrdocs.files import (
    DOCS,
    FILES,
    SCHEME,
    SHOWN,
    find_included,
    list_pages,
    render_source,
    require_file,
    resolve_link,
)
from ehrdocs.generated import MAKERS, replace_mermaid
from ehrdocs.markdown import fill_places, rewrite_links


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", _prepare_page)
    app.connect("include-read", _prepare_included)
    app.connect("doctree-resolved", _link_files)
    app.connect("build-finished", _finish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}


def _prepare_page(app: Sphinx, page: str, content: list[str]) -> None:
    del app
    content[0] = _prepare(fill_places(content[0], MAKERS), f"{DOCS}/{page}.md", page)


def _prepare_included(app: Sphinx, path: Path, parent: str, content: list[str]) -> None:
    del parent  # MyST gives the last part of its name
    page = app.env.docname
    source = posixpath.normpath(posixpath.join(DOCS, Path(path).as_posix()))
    content[0] = _prepare(replace_mermaid(content[0]), source, page)


def _prepare(text: str, source: str, page: str) -> str:
    included = find_included(list_pages())
    return rewrite_links(text, lambda target: resolve_link(target, source, page, included))


def _link_files(app: Sphinx, document: nodes.document, page: str) -> None:
    """Lead what names a file of the repository to its page on the site."""
    for node in document.findall(nodes.reference):
        scheme, _, target = node.get("refuri", "").partition(":")
        if scheme != SCHEME:
            continue
        path, _, fragment = target.partition("#")
        require_file(path)
        is_shown = posixpath.splitext(path)[1] in SHOWN
        place = f"{FILES}/{path}" if is_shown else f"{FILES}/{path}.html"
        line = f"#L-{fragment[1:]}" if fragment.startswith("L") else ""
        node["refuri"] = posixpath.relpath(place, posixpath.dirname(page) or ".") + line
        node["internal"] = True
        linked: set[str] = app.env.__dict__.setdefault("ehrdocs_linked", set())
        linked.add(path)


def _finish(app: Sphinx, error: Exception | None) -> None:
    """Write the files that are linked to, then warn of each page that leads nowhere or would need a network."""
    if error is not None:
        return
    for path in sorted(app.env.__dict__.get("ehrdocs_linked", ())):
        target = Path(app.outdir) / FILES / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix in SHOWN:
            shutil.copyfile(require_file(path), target)
        else:
            target.with_name(f"{target.name}.html").write_text(render_source(path), encoding="utf-8")
    for line in check_site(Path(app.outdir)):
        logging.getLogger(__name__).warning(line)
