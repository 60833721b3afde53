"""Who may import whom, read from the source: the core has no clock, no chance and no I/O, and knows no driver."""

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
#: What the core may not reach for: clocks, chance, the outside world, and other threads.
FORBIDDEN = frozenset(
    {
        "time",
        "datetime",
        "random",
        "secrets",
        "os",
        "io",
        "socket",
        "asyncio",
        "logging",
        "threading",
        "subprocess",
        "sqlite3",
        "pathlib",
    }
)
FORBIDDEN_CALLS = frozenset({"open", "print", "input"})
#: X.509 writes instants as dates, for which it needs the calendar, and no clock.
CALENDAR = "ehrcore.x509_parts"
CLOCKS = frozenset({"now", "utcnow", "today"})
#: Memory, though it stands beside files.
PURE_IMPORTS = frozenset({"from io import BytesIO"})
PACKAGES = ("ehrcore", "bench")


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def touches(imports: set[str], package: str) -> set[str]:
    return {name for name in imports if name == package or name.startswith(f"{package}.")}


def is_core(path: Path) -> bool:
    """The core is all of `ehrcore` but its drivers, real or faulty, its ledger files and its commands."""
    module = module_of(path)
    outside = {"ehrcore.ledger", "ehrcore.__main__"}
    has_world = any(touches({module}, f"ehrcore.{package}") for package in ("drive", "faults", "cli"))
    return path.is_relative_to(ROOT / "ehrcore") and not has_world and module not in outside


CORE = [path for path in sources("ehrcore") if is_core(path)]


def named(paths: list[Path]) -> list[object]:
    return [pytest.param(path, id=module_of(path)) for path in paths]


# -- reading a source ------------------------------------------------------------------------------------------------


def find_imports(source: str, module: str = "", *, is_package: bool = False) -> set[str]:
    """Every module that the source imports, at any depth; `from a import b` counts as both `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and ast.unparse(node) not in PURE_IMPORTS:
            base = _resolve(node, module, is_package=is_package)
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call):
            found |= set(_named_at_run_time(node))
    return found


def _resolve(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _named_at_run_time(call: ast.Call) -> Iterator[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in {"import_module", "__import__"} and call.args:
        argument = call.args[0]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield argument.value


def find_calls(source: str) -> set[str]:
    """Names of all functions that the source calls by their bare name or through `builtins`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "builtins":
            found.add(node.attr)
    return found


def find_impurities(source: str) -> set[str]:
    """Forbidden modules (by their top name) and forbidden builtins that the source uses."""
    tops = {name.partition(".")[0] for name in find_imports(source)}
    return (tops & FORBIDDEN) | (find_calls(source) & FORBIDDEN_CALLS)


def imports_of(path: Path) -> set[str]:
    return find_imports(path.read_text(encoding="utf-8"), module_of(path), is_package=path.name == "__init__.py")


# -- the rules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", named(CORE))
def test_the_core_has_no_clock_no_chance_and_no_io(path: Path) -> None:
    allowed = {"datetime"} if module_of(path) == CALENDAR else set()
    assert find_impurities(path.read_text(encoding="utf-8")) == allowed


def test_who_has_the_calendar_reads_no_clock() -> None:
    (source,) = (path.read_text(encoding="utf-8") for path in CORE if module_of(path) == CALENDAR)
    named = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    assert not named & CLOCKS


@pytest.mark.parametrize("path", named(CORE))
def test_the_core_knows_no_driver_and_no_ledger_file(path: Path) -> None:
    imports = imports_of(path)
    assert not touches(imports, "ehrcore.drive")
    assert not touches(imports, "ehrcore.ledger")


@pytest.mark.parametrize("path", named(sources("ehrcore")))
def test_the_framework_knows_no_benchmark(path: Path) -> None:
    assert not touches(imports_of(path), "bench")


@pytest.mark.parametrize("path", named([path for package in PACKAGES for path in sources(package)]))
def test_nothing_that_is_installed_imports_tests_or_the_paper(path: Path) -> None:
    imports = imports_of(path)
    assert not touches(imports, "tests")
    assert not touches(imports, "paper")


@pytest.mark.parametrize("path", named(CORE))
def test_the_core_never_imports_a_definition_that_it_is_checked_against(path: Path) -> None:
    """`ehrcore.spec` is the oracle; code that calls its oracle is checked against nothing."""
    if not module_of(path).startswith("ehrcore.spec"):
        assert not touches(imports_of(path), "ehrcore.spec")


def test_each_backend_alone_imports_its_package() -> None:
    """A node that signs with one backend needs no other; `cryptography` is the one that is always there."""
    owners = {
        "ecdsa": "ehrcore.signing.pure",
        "Crypto": "ehrcore.signing.pycryptodome",
        "coincurve": "ehrcore.signing.coincurve",
        "blake3": "ehrcore.hashing",
    }
    for path in CORE:
        for package, owner in owners.items():
            assert module_of(path) == owner or not touches(imports_of(path), package)


def test_the_rules_look_at_the_modules_that_they_are_about() -> None:
    names = {module_of(path) for path in CORE}
    assert {"ehrcore.codec", "ehrcore.roles.agent", "ehrcore.consensus.pos", "ehrcore.signing.base"} <= names
    assert not {"ehrcore.ledger", "ehrcore.drive.sim"} & names
    assert {"ehrcore.ledger", "ehrcore.drive.sim"} <= {module_of(path) for path in sources("ehrcore")}


# -- planted violations: the checker catches each --------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
@pytest.mark.parametrize(
    "template",
    [
        "import {}",
        "import {}.sub",
        "import {} as harmless",
        "import json, {}",
        "from {} import something",
        "from {}.sub import something",
        "from {} import *",
        "def function():\n    import {}",
        "def function():\n    from {} import something",
        "class Class:\n    def method(self):\n        if self:\n            import {}",
        "try:\n    import {}\nexcept ImportError:\n    pass",
        "if TYPE_CHECKING:\n    import {}",
        "async def function():\n    import {}",
        "from importlib import import_module\nimport_module('{}')",
        "import importlib\nimportlib.import_module('{}')",
        "__import__('{}')",
    ],
)
def test_a_planted_import_is_found(template: str, name: str) -> None:
    assert find_impurities(template.format(name)) == {name}


@pytest.mark.parametrize("source", ["import io", "from io import BytesIO, open", "from io import BytesIO as open"])
def test_of_io_memory_alone_is_pure(source: str) -> None:
    assert find_impurities(source) == {"io"}


@pytest.mark.parametrize("name", sorted(FORBIDDEN_CALLS))
@pytest.mark.parametrize(
    "template",
    [
        "{}('x')",
        "def function():\n    return {}()",
        "lambda: {}('x')",
        "value = [{}(x) for x in y]",
        "alias = {}",
        "import builtins\nbuiltins.{}('x')",
    ],
)
def test_a_planted_call_is_found(template: str, name: str) -> None:
    assert hasattr(builtins, name)
    assert find_impurities(template.format(name)) == {name}


@pytest.mark.parametrize(
    "source",
    [
        "import timeit_like",
        "from ehrcore.types import time",
        "import ehrcore.io_like",
        "from io import BytesIO",
        "ledger.open()",
        "class Class:\n    def open(self): ...",
        "def function(time, random, os): return time + random",
        "'import time'",
        "# import random",
    ],
)
def test_what_only_looks_like_a_violation_is_none(source: str) -> None:
    assert not find_impurities(source)


@pytest.mark.parametrize(
    "source",
    [
        "import ehrcore.drive",
        "import ehrcore.drive.sim as sim",
        "from ehrcore import drive",
        "from ehrcore.drive import sim",
        "from ehrcore.drive.sim import Simulation",
        "from ..drive import sim",
        "from .. import drive",
        "from ..drive.sim import Simulation",
        "def function():\n    from ehrcore.drive.sim import Simulation",
        "import importlib\nimportlib.import_module('ehrcore.drive.sim')",
    ],
)
def test_a_planted_import_of_a_driver_is_found(source: str) -> None:
    assert touches(find_imports(source, "ehrcore.roles.agent"), "ehrcore.drive")


def test_relative_imports_of_a_package_start_at_itself() -> None:
    assert "ehrcore.drive" in find_imports("from . import drive", "ehrcore", is_package=True)
    assert "ehrcore.roles.agent" in find_imports("from .agent import Agent", "ehrcore.roles", is_package=True)
    assert "ehrcore.roles.agent" in find_imports("from .agent import Agent", "ehrcore.roles.pool")


@pytest.mark.parametrize("source", ["import bench", "from bench.workload import model", "from bench import errors"])
def test_a_planted_import_of_the_benchmark_is_found(source: str) -> None:
    assert touches(find_imports(source, "ehrcore.codec"), "bench")
    assert not touches(find_imports("import benchmarks\nfrom ehrcore.bench_like import x", "ehrcore.codec"), "bench")
