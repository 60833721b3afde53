"""THIRD-PARTY.md: every package that a lock names is in it with its version and licence, and so is the data."""

import importlib.util
import re
from email.message import Message
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", ROOT / ".ci" / "licences.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_locked_package_is_listed_as_the_locks_have_it(licences: Any) -> None:
    """If this fails: nox -s licences."""
    page = (ROOT / "THIRD-PARTY.md").read_text(encoding="utf-8")
    pins = licences.read_pins(ROOT / "locks")
    assert {"numpy", "pytest", "ruff"} <= {*pins}
    assert page == licences.render(pins, licences.read_rows(page))
    for path in (ROOT / "locks").glob("*.txt"):
        for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(rf"^\| {name} \| [^|]*\b{re.escape(version)}\b[^|]* \| [^|]+ \|", page, re.MULTILINE), name


def test_what_is_under_the_gpl_is_flagged(licences: Any) -> None:
    page = (ROOT / "THIRD-PARTY.md").read_text(encoding="utf-8")
    flagged = page.partition("## Under the GPL")[2].partition("## Data")[0]
    assert "**pymerkle** (GPL-3.0-or-later): a peer" in flagged
    pins = {"some": (["1"], ["bench"])}
    for licence in ("GPL-3.0-only", "AGPL-3.0-or-later", "GNU General Public License v2 (GPLv2)"):
        with pytest.raises(ValueError, match="some: expected words on the use of what is under the GPL"):
            licences.render(pins, {"some": licence})
    assert "| some | 1 | LGPL-3.0-or-later | bench |" in licences.render(pins, {"some": "LGPL-3.0-or-later"})


def test_a_package_without_a_licence_is_refused_by_name(licences: Any) -> None:
    with pytest.raises(ValueError, match="^some: expected a licence, found none"):
        licences.render({"some": (["1"], ["bench"]), "other": (["1"], ["bench"])}, {"other": "MIT"})


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License-Expression": "MIT", "License": "BSD"}, "MIT"),
        ({"License": "Apache 2.0", "Classifier": "License :: OSI Approved :: MIT License"}, "Apache 2.0"),
        ({"License": "Copyright\n" * 40, "Classifier": "License :: OSI Approved :: BSD License"}, "BSD License"),
        ({"Classifier": "Topic :: Security"}, ""),
    ],
)
def test_a_licence_is_what_the_metadata_states(licences: Any, fields: dict[str, str], licence: str) -> None:
    metadata = Message()
    for name, value in fields.items():
        metadata[name] = value
    assert licences.state_licence(metadata) == licence


def test_the_data_that_is_listed_is_there(licences: Any) -> None:
    named = [path for row in licences.DATA for path in re.findall(r"`([\w/.-]+/[\w./-]*)`", row[0])]
    assert len(named) >= 5
    assert all((ROOT / path).exists() for path in named)
    data = {path.name for path in (ROOT / "bench" / "attacks" / "data").iterdir()}
    assert {Path(name).suffix for name in data} <= {".a", ".b", ".toml"}
