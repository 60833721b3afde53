"""The map of the code, and a reference of the main modules at a glance, from their own docstrings."""

import ast
from typing import Final

from ehrdocs.files import ROOT
from ehrdocs.markdown import code, table
from ehrdocs.source import docstring_of, first_sentence, link_to, list_public, path_of, read_module, signature_of

#: What a reader of the library meets first.
MAIN: Final = (
    "ehrcore.params",
    "ehrcore.network",
    "ehrcore.effects",
    "ehrcore.messages",
    "ehrcore.block",
    "ehrcore.state",
    "ehrcore.ledger",
    "ehrcore.proof",
    "ehrcore.light",
    "ehrcore.merkle",
    "ehrcore.hashing",
    "ehrcore.signing.base",
    "ehrcore.codec",
    "ehrcore.consensus.seam",
    "ehrcore.drive.sim",
    "bench.loading",
    "bench.joining",
)


def make_map(package: str) -> str:
    """Every module below a package in one table: its file, and the first sentence of its docstring."""
    folder = ROOT.joinpath(*package.split("."))
    rows = []
    for path in sorted(folder.rglob("*.py"), key=lambda path: (path.parent.as_posix(), path.name)):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        about = first_sentence(docstring_of(read_module(module)))
        if about:
            rows.append((code(path.relative_to(ROOT).as_posix()), about))
    return table(("module", "what it is"), rows)


def make_modules() -> str:
    """The main modules: what each is, and its public classes and functions."""
    return "\n\n".join(make_module(module) for module in MAIN)


def make_module(module: str) -> str:
    """One module: its docstring, then its public names with how they are called and what for."""
    rows = []
    for node in list_public(module):
        rows.append(_row(module, node, ""))
        if isinstance(node, ast.ClassDef):
            rows += [_row(module, each, f"{node.name}.") for each in _methods(node)]
    about = _fence_examples(docstring_of(read_module(module)))
    shown = table(("name", "how it is written", "what for"), rows)
    return f"## `{module}`\n\n{about}\n\nSource: [`{path_of(module).relative_to(ROOT)}`]({link_to(module)})\n\n{shown}"


def _fence_examples(text: str) -> str:
    """A docstring with its examples as code blocks, which Markdown would take for quotations."""
    parts = text.split("\n\n")
    return "\n\n".join(f"```python\n{part}\n```" if part.startswith(">>> ") else part for part in parts)


def _row(module: str, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, prefix: str) -> tuple[str, str, str]:
    name = f"[`{prefix}{node.name}`]({link_to(module, node.lineno)})"
    return name, code(signature_of(node)), first_sentence(docstring_of(node))


def _methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """Methods that have something to say of themselves."""
    found = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name[0] != "_"]
    return [each for each in found if docstring_of(each)]
