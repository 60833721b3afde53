"""Scenario files: every profile loads, an overlay merges by section, whatever is wrong is one line that names it."""

import sys
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.experiments.catalogue import PROFILES, QUESTIONS
from bench.scenario import convert_scenario, load_scenario, merge


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_loads_and_bears_its_own_name(profile: str) -> None:
    scenario = load_scenario(profile)
    assert scenario.name == profile
    assert set(scenario.experiments) <= set(QUESTIONS)
    assert "limits" not in scenario.experiments, "the comparison with peers has a session of its own"


def test_every_profile_file_is_listed_and_every_listed_profile_has_a_file() -> None:
    files = {Path(str(item)).stem for item in resources.files("bench").joinpath("profiles").iterdir()}
    assert files == {*PROFILES, "energy"}, "what they all share has a file of its own"


def test_the_profiles_differ_in_size_alone() -> None:
    smoke, quick, paper = (load_scenario(name) for name in ("smoke", "quick", "paper"))
    for bigger, smaller in ((paper, quick), (quick, smoke)):
        assert bigger.table1.transactions > smaller.table1.transactions
        assert bigger.variants.repeats > smaller.variants.repeats
    assert smoke.energy == quick.energy == paper.energy
    assert smoke.network == quick.network == paper.network
    assert smoke.seed == quick.seed == paper.seed


REFUSED = {
    "unknown key": ("bogus = 1", "unknown field `bogus`"),
    "unknown section": ("[tabel1]\ntransactions = 1", "unknown field `tabel1`"),
    "unknown key of a section": ("[table1]\nbogus = 1", "unknown field `bogus` - at `$.table1`"),
    "no transactions": ("[table1]\ntransactions = 0", ">= 1 - at `$.table1.transactions`"),
    "negative count": ("[framework]\ntransactions = -5", ">= 1 - at `$.framework.transactions`"),
    "text for a count": ('[table1]\ntransactions = "9"', "Expected `int`, got `str` - at `$.table1.transactions`"),
    "fraction for a count": ("[table1]\noutstanding = 1.5", "Expected `int`, got `float` - at `$.table1.outstanding`"),
    "truth for a count": ("[table1]\noutstanding = true", "Expected `int`, got `bool` - at `$.table1.outstanding`"),
    "number for a section": ("framework = 3", "Expected `object`, got `int` - at `$.framework`"),
    "list of sections": ("[[table1]]\ntransactions = 9", "Expected `object`, got `array` - at `$.table1`"),
    "three roles": ("[framework]\ntopology = [1, 1, 1]", "length >= 4 - at `$.framework.topology`"),
    "five roles": ("[framework]\ntopology = [1, 1, 1, 1, 1]", "length <= 4 - at `$.framework.topology`"),
    "a role of none": ("[framework]\ntopology = [1, 1, 0, 1]", ">= 1 - at `$.framework.topology[2]`"),
    "a negative role": ("[variants]\ntopology = [-1, 1, 1, 1]", ">= 1 - at `$.variants.topology[0]`"),
    "a role too large": ("[variants]\ntopology = [101, 1, 1, 1]", "<= 100 - at `$.variants.topology[0]`"),
    "no experiment": ("experiments = []", "length >= 1 - at `$.experiments`"),
    "name that is no folder": ('name = "a/b"', "matching regex"),
    "name with a line break": ('name = "a\\n"', "matching regex"),
    "empty seed": ('seed = ""', "length >= 1 - at `$.seed`"),
    "unknown curve": ('curve = "p521"', "Invalid enum value 'p521' - at `$.curve`"),
    "date that is none": ('[workload]\nreference_date = "2022-07-19"', "at `$.workload.reference_date`"),
    "infinite latency": ("[network]\nlatency_us = inf", "at `$.network.latency_us`"),
    "latency that is no number": ("[network]\nlatency_us = nan", "at `$.network.latency_us`"),
    "infinite rate": ("[variants]\noffered_per_second = inf", "at `$.variants.offered_per_second`"),
    "all is lost": ("[network]\nloss = 1.0", "< 1.0 - at `$.network.loss`"),
    "negative loss": ("[network]\nloss = -0.1", ">= 0.0 - at `$.network.loss`"),
    "no bandwidth": ("[network]\nmegabit_per_second = 0", "> 0.0 - at `$.network.megabit_per_second`"),
    "the whole load": ("[table1]\nload_share = 1.0", "< 1.0 - at `$.table1.load_share`"),
    "a message of nothing": ("[hashes]\nsizes_bytes = [0]", ">= 1 - at `$.hashes.sizes_bytes[0]`"),
    "a library twice": (
        '[signatures]\nlibraries = ["ecdsa", "ecdsa"]',
        "each value once - at `$.signatures.libraries`",
    ),
    "an unknown library": ('[signatures]\nlibraries = ["gnutls"]', "got 'gnutls' - at `$.signatures.libraries`"),
    "a tree of one leaf": ("[merkle]\nleaves = [1]", ">= 2 - at `$.merkle.leaves[0]`"),
    "a tree twice": ("[merkle]\nleaves = [15, 15]", "each value once - at `$.merkle.leaves`"),
    "watts in disorder": ("[energy]\nwatts_low = 100.0", "watts_low <= watts_mid <= watts_high - at `$.energy`"),
    "infinite watts": ("[energy]\nwatts_high = inf", "at `$.energy.watts_high`"),
    "no suite": ("[variants]\nsuites = []", "length >= 1 - at `$.variants.suites`"),
    "unknown suite": ('[variants]\nsuites = ["sha256", "sha265"]', "got 'sha265' - at `$.variants.suites`"),
    "unknown suite of hashes": ('[hashes]\nsuites = ["crc32"]', "got 'crc32' - at `$.hashes.suites`"),
    "a suite twice": ('[variants]\nsuites = ["md5", "md5"]', "each value once - at `$.variants.suites`"),
    "a size twice": ("[hashes]\nsizes_bytes = [64, 64]", "each value once - at `$.hashes.sizes_bytes`"),
    "no size": ("[hashes]\nsizes_bytes = []", "length >= 1 - at `$.hashes.sizes_bytes`"),
    "a difficulty twice": ("[variants]\ndifficulty_bits = [8, 8]", "each value once - at `$.variants.difficulty_bits`"),
    "a factor of one level": ('[variants.factors]\nsuites = ["md5"]', "length >= 2 - at `$.variants.factors.suites`"),
    "an unknown curve of a factor": (
        '[variants.factors]\ncurves = ["p256", "p257"]',
        "got 'p257' - at `$.variants.factors.curves`",
    ),
    "a level twice": (
        "[variants.factors]\nblock_transactions = [5, 5]",
        "each value once - at `$.variants.factors.block_transactions`",
    ),
    "idle watts without a source": (
        '[energy]\nidle_source = ""',
        "idle_watts_per_node and idle_source together - at `$.energy`",
    ),
    "a row that Table 1 has not": ("[net]\ntable1_rows = [19]", "<= 18 - at `$.net.table1_rows[0]`"),
    "a row twice": ("[net]\ntable1_rows = [3, 3]", "each value once - at `$.net.table1_rows`"),
    "an unknown rule": ('[net]\nvariants = ["poet/sha256"]', "got 'poet/sha256' - at `$.net.variants`"),
    "a rule without a suite": ('[net]\nvariants = ["pos"]', "such as pos/sha256, got 'pos' - at `$.net.variants`"),
    "too few under way": ("[net]\noutstanding = 14", ">= 15 - at `$.net.outstanding`"),
    "no time": ("[net]\nseconds = 0.0", "> 0.0 - at `$.net.seconds`"),
    "an unknown engine": ('engine = "real"', "Invalid enum value 'real' - at `$.engine`"),
    "a ladder of one rung": ("[load]\nshares = [1.0]", "length >= 2 - at `$.load.shares`"),
    "a ladder downwards": ("[load]\nshares = [0.9, 0.5]", "Expected ascending shares - at `$.load.shares`"),
    "a rung twice": ("[load]\nshares = [0.5, 0.5]", "each value once - at `$.load.shares`"),
    "a network twice": (
        "[load]\ntopologies = [[1, 1, 1, 1], [1, 1, 1, 1]]",
        "each value once - at `$.load.topologies`",
    ),
    "a prediction that was fitted on": (
        "[agree]\ncalibration = [[1, 1, 1, 1]]\ntopologies = [[1, 1, 1, 1]]",
        "each value once - at `$.agree.topologies`",
    ),
    "a difficulty too high": ("[variants]\ndifficulty_bits = [41]", "<= 40 - at `$.variants.difficulty_bits[0]`"),
}


@pytest.mark.parametrize("mutation", REFUSED)
def test_an_unusable_value_is_refused_with_its_key_and_its_file(mutation: str, tmp_path: Path) -> None:
    text, expected = REFUSED[mutation]
    overlay = tmp_path / "mine.toml"
    overlay.write_text(text, encoding="utf-8")
    with pytest.raises(BenchError) as caught:
        load_scenario("smoke", overlay)
    assert str(caught.value).startswith(f"{overlay}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_optional_suite_that_is_not_installed_is_refused_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)
    overlay = tmp_path / "mine.toml"
    overlay.write_text('[variants]\nsuites = ["blake3"]', encoding="utf-8")
    with pytest.raises(
        BenchError, match="mine.toml: hash suite blake3: the optional package 'blake3' is not installed"
    ):
        load_scenario("smoke", overlay)
    overlay.write_text('[hashes]\nsuites = ["sha256", "blake3"]', encoding="utf-8")
    assert load_scenario("smoke", overlay).hashes.suites == ["sha256", "blake3"]


def test_an_unknown_profile_is_refused_with_the_choices() -> None:
    with pytest.raises(BenchError, match="profile: expected one of smoke, quick, paper, found 'large'"):
        load_scenario("large")


def _missing(path: Path) -> str:
    return "expected a scenario file, found: No such file"


def _folder(path: Path) -> str:
    path.mkdir()
    return "expected a scenario file, found: Is a directory"


def _below_a_file(path: Path) -> str:
    path.parent.rmdir()
    path.parent.write_text("")
    return "expected a scenario file, found: Not a directory"


def _no_toml(path: Path) -> str:
    path.write_text("{json: 1}")
    return "expected TOML, found: "


def _latin1(path: Path) -> str:
    path.write_bytes('seed = "Müller"'.encode("latin-1"))
    return "expected TOML, found: 'utf-8' codec can't decode"


def _a_key_twice(path: Path) -> str:
    path.write_text('seed = "a"\nseed = "b"\n')
    return "expected TOML, found: "


@pytest.mark.parametrize("spoil", [_missing, _folder, _below_a_file, _no_toml, _latin1, _a_key_twice])
def test_an_overlay_that_cannot_be_read_is_one_line(spoil: Any, tmp_path: Path) -> None:
    overlay = tmp_path / "sub" / "mine.toml"
    overlay.parent.mkdir()
    expected = spoil(overlay)
    with pytest.raises(BenchError) as caught:
        load_scenario("smoke", overlay)
    assert str(caught.value).startswith(f"{overlay}: {expected}")
    assert "\n" not in str(caught.value)


def test_an_overlay_merges_by_section_and_leaves_the_rest(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.toml"
    overlay.write_text('name = "mine"\n[table1]\ntransactions = 77\n[network]\nloss = 0.25\n')
    base, mine = load_scenario("smoke"), load_scenario("smoke", overlay)
    replace = msgspec.structs.replace
    assert mine == replace(
        base,
        name="mine",
        table1=replace(base.table1, transactions=77),
        network=replace(base.network, loss=0.25),
    )


def test_the_example_of_the_readme_is_a_valid_overlay(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    overlay = tmp_path / "mine.toml"
    example = readme.partition("A scenario file looks like this")[2]
    overlay.write_text(example.partition("```toml\n")[2].partition("```")[0])
    scenario = load_scenario("quick", overlay)
    assert (scenario.seed, scenario.network.latency_us) == ("my study", 20_000)


def test_a_whole_scenario_survives_its_way_through_plain_values() -> None:
    scenario = load_scenario("paper")
    assert convert_scenario(msgspec.to_builtins(scenario), "a manifest") == scenario


_VALUES = st.recursive(
    st.integers() | st.text(max_size=3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=8
)
_TABLES = st.dictionaries(st.sampled_from("abc"), _VALUES)


def _leaves(table: dict[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in table.items():
        found |= _leaves(value, (*path, key)) if isinstance(value, dict) and value else {(*path, key): value}
    return found


@given(_TABLES, _TABLES)
def test_merging_keeps_every_value_of_the_overlay(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = (repr(base), repr(over))
    merged = merge(base, over)
    assert (repr(base), repr(over)) == before, "neither side is changed"
    found = _leaves(merged)
    for path, value in _leaves(over).items():
        if value != {}:
            assert found[path] == value
    for path in found:
        assert any(path[: len(other)] == other for other in (*_leaves(base), *_leaves(over)))
    assert merge(base, {}) == base
    assert merge({}, over) == over


def test_a_profile_is_plain_toml_of_the_package() -> None:
    for profile in PROFILES:
        text = resources.files("bench").joinpath(f"profiles/{profile}.toml").read_text(encoding="utf-8")
        assert tomllib.loads(text)["name"] == profile
