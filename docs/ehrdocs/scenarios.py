"""Defaults of the method: every key of a scenario with its range and its value in each profile, and what is fixed."""

import inspect
import json
import tomllib
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import inspect as types

from bench.experiments.catalogue import PROFILES
from bench.scenario import Scenario, merge
from ehrdocs.files import ROOT
from ehrdocs.markdown import code, table
from ehrdocs.source import Constant, link_to, list_comments, list_constants

#: Where the suite's method fixes what no scenario can change.
METHOD: Final = ("bench/analysis", "bench/measure", "bench/net")
#: More values than these are counted rather than listed; the profile's file has them.
_MOST: Final = 8
#: Longer texts are cut.
_LONG: Final = 40


def make_profiles() -> str:
    """The profiles and what they are for."""
    links = {name: f"[`{name}`](../bench/profiles/{name}.toml)" for name in PROFILES}
    return table(("profile", "what it is for"), ((links[name], text) for name, text in PROFILES.items()))


def make_defaults() -> str:
    """A heading and a table for each section of a scenario; values in bold differ from the default."""
    loaded = {profile: load_profile(profile) for profile in PROFILES}
    parts: list[str] = []
    for path, struct in _walk_sections("", Scenario):
        title = f"`[{path}]`" if path else "At the top"
        rows = [_row(path, struct, field, loaded) for field in types_of(struct) if not _is_section(field.type)]
        if not rows:
            continue
        headings = ("key", "values", "default", *(f"`{name}`" for name in PROFILES))
        about = inspect.cleandoc(struct.__doc__ or "").replace("``", "`")
        parts += [f"## {title}", about, table(headings, rows)]
    return "\n\n".join(parts)


def load_profile(name: str) -> Scenario:
    """A profile as it is written, typed; `bench.scenario.load_scenario` checks it too, and needs what it names."""
    contents = [tomllib.loads((ROOT / f"bench/profiles/{each}.toml").read_text("utf-8")) for each in ("energy", name)]
    return msgspec.convert(merge(*contents), Scenario)


def make_constants() -> str:
    """What the method fixes, as the modules' own comments say it."""
    rows = [
        (f"[`{item.name}`]({link_to(module, item.line)})", code(item.value), item.meaning)
        for module, item in list_method()
    ]
    return table(("constant", "value", "meaning"), rows)


def list_method() -> Iterator[tuple[str, Constant]]:
    """Every module of the method with each of its constants."""
    for folder in METHOD:
        for path in sorted((ROOT / folder).glob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield from ((module, item) for item in list_constants(module))


def types_of(struct: type[msgspec.Struct]) -> tuple[types.Field, ...]:
    """The fields of a section, with their ranges."""
    found = types.type_info(struct)
    assert isinstance(found, types.StructType)  # noqa: S101 - a struct is one
    return found.fields


def _is_section(kind: types.Type) -> bool:
    return isinstance(kind, types.StructType)


def _walk_sections(path: str, struct: type[msgspec.Struct]) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    yield path, struct
    for field in types_of(struct):
        if isinstance(field.type, types.StructType):
            yield from _walk_sections(f"{path}.{field.name}".lstrip("."), field.type.cls)


def _row(path: str, struct: type[msgspec.Struct], field: types.Field, loaded: dict[str, Scenario]) -> tuple[str, ...]:
    default = _default_of(field)
    cells = []
    for scenario in loaded.values():
        section: Any = scenario
        for name in filter(None, path.split(".")):
            section = getattr(section, name)
        value = getattr(section, field.name)
        shown = _show(value)
        cells.append(shown if field.required or value == default else f"**{shown}**")
    shown_default = "to be given" if field.required else _show(default)
    meaning = list_comments(struct.__module__, struct.__name__).get(field.name, "")
    values = f"{describe_type(field.type)}. {meaning}" if meaning else describe_type(field.type)
    return (code(field.name), values.replace("``", "`"), shown_default, *cells)


def _default_of(field: types.Field) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _show(value: Any) -> str:
    """A value as TOML has it; of a long list how many it holds."""
    if isinstance(value, list) and len(value) > _MOST:
        return f"{len(value)} values"
    if isinstance(value, list):
        return ", ".join(map(_show, value)) or "none"
    if value is None or value == "":
        return "–"
    if isinstance(value, str) and len(value) > _LONG:
        return f"“{value[:_LONG]}…”"
    return code(json.dumps(value, ensure_ascii=False))


def describe_type(kind: types.Type) -> str:
    """What a value has to be, in words."""
    match kind:
        case types.IntType() | types.FloatType():
            return f"{'whole number' if isinstance(kind, types.IntType) else 'number'}{_range(kind)}"
        case types.StrType():
            return f"text like `{kind.pattern}`" if kind.pattern else "text"
        case types.BoolType():
            return "true or false"
        case types.ListType():
            least = f"at least {kind.min_length} " if (kind.min_length or 0) > 1 else ""
            if kind.min_length and kind.min_length == kind.max_length:
                least = f"{kind.min_length} "
            return f"{least}of: {describe_type(kind.item_type)}"
        case types.LiteralType():
            return " or ".join(code(value) for value in kind.values)
        case types.UnionType():
            return " or ".join(describe_type(each) for each in kind.types if not isinstance(each, types.NoneType))
        case _:
            return type(kind).__name__


def _range(kind: types.IntType | types.FloatType) -> str:
    low = (
        f" from {_number(kind.ge)}"
        if kind.ge is not None
        else f" above {_number(kind.gt)}"
        if kind.gt is not None
        else ""
    )
    high = (
        f" to {_number(kind.le)}"
        if kind.le is not None
        else f", below {_number(kind.lt)}"
        if kind.lt is not None
        else ""
    )
    return low + high


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:,}"
