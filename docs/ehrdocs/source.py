"""What the packages' sources say of themselves: docstrings, annotations, comments of constants, signatures.

Read from the text of the modules, so that a page shows what stands there and nothing heavy is imported for it.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from ehrdocs.files import ROOT

_SENTENCE: Final = re.compile(r"(?<=[.?!])\s")
_COMMENT: Final = re.compile(r"\s*#: ?(.*)")


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that a module fixes: its name, how it is written, what the comment above says, and its line."""

    name: str
    value: str
    meaning: str
    line: int


def path_of(module: str) -> Path:
    """The file of a module."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def link_to(module: str, line: int | None = None) -> str:
    """The address of a module's source, or of a line of it, from a page at the top of the site."""
    place = f"../{path_of(module).relative_to(ROOT).as_posix()}"
    return place if line is None else f"{place}#L{line}"


@cache
def read_module(module: str) -> ast.Module:
    """The parsed source of a module."""
    return ast.parse(path_of(module).read_text(encoding="utf-8"))


def docstring_of(node: ast.AST) -> str:
    """Its docstring, '' if it has none; double backticks are plain ones in Markdown."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return ""
    return (ast.get_docstring(node) or "").replace("``", "`")


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, on one line."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return _SENTENCE.split(paragraph, maxsplit=1)[0] if paragraph else ""


def find_class(module: str, name: str) -> ast.ClassDef:
    """The class ``name`` at the top of a module; `LookupError` if there is none."""
    for node in read_module(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    raise LookupError(f"{module}: expected a class {name}, found none")


def list_fields(module: str, name: str) -> dict[str, str]:
    """The annotated fields of a class with their types, as they are written."""
    body = find_class(module, name).body
    found = [node for node in body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    return {ast.unparse(node.target): _bare_type(node.annotation) for node in found}


def list_comments(module: str, name: str) -> dict[str, str]:
    """What the comments right above a class's fields say of them, by field."""
    lines = path_of(module).read_text(encoding="utf-8").splitlines()
    body = [node for node in find_class(module, name).body if isinstance(node, ast.AnnAssign)]
    return {ast.unparse(node.target): _comment_above(lines, node.lineno) for node in body}


def list_public(module: str) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Classes and functions of a module that others may use, in their order."""
    for node in read_module(module).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            yield node


def list_constants(module: str) -> list[Constant]:
    """Constants of a module that are numbers, or made of them, with a comment of their own."""
    lines = path_of(module).read_text(encoding="utf-8").splitlines()
    found: list[Constant] = []
    for node in read_module(module).body:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value):
            continue
        name, meaning = node.target.id, _comment_above(lines, node.lineno)
        if meaning and _is_number(node.value):
            found.append(Constant(name, ast.unparse(node.value), meaning, node.lineno))
    return found


def signature_of(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """How it is called, as it is written; of a class its name and bases."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    begin = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    answer = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{begin} {node.name}({ast.unparse(node.args)}){answer}"


def _comment_above(lines: list[str], number: int) -> str:
    """The comment of the form ``#: ...`` that ends right above a line, on one line."""
    words: list[str] = []
    while number > 1 and (found := _COMMENT.fullmatch(lines[number - 2])):
        words.insert(0, found[1])
        number -= 1
    return " ".join(words)


def _is_number(value: ast.expr) -> bool:
    """Whether a value is a number or arithmetic on numbers and units, such as ``3 * SECOND``."""
    is_unit = isinstance(value, ast.Name) and value.id.isupper()
    is_literal = isinstance(value, ast.Constant) and isinstance(value.value, int | float)
    return is_unit or is_literal or (isinstance(value, ast.BinOp) and all(map(_is_number, (value.left, value.right))))


def _bare_type(annotation: ast.expr) -> str:
    """A type without its range."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Annotated":
        inner = annotation.slice
        return ast.unparse(inner.elts[0] if isinstance(inner, ast.Tuple) else inner)
    return ast.unparse(annotation)
