"""The experiments on the paired engine: from their cases, by raw rows made by hand, to tables and figures."""

import json
import random

import pandas as pd
import pytest
from msgspec.structs import replace

from bench.analysis.overhead import estimate_overhead, fit_line
from bench.engines.base import Context
from bench.engines.paired import run_paired
from bench.experiments import find_experiment, processes
from bench.experiments.hashes_figures import name_size
from bench.experiments.processes import MASKED, SHA_NI, find_instructions
from bench.measure.paired import CONTROL
from bench.measure.worker import HARNESS, NOTHING, describe_group
from bench.micro.groups import FAMILIES
from bench.scenario import Hashes, Merkle, Paired, Signatures, load_scenario

NAMES = ("hashes", "signatures", "merkle", "harness")
LOOPS = 100
OPTIONS = {
    "hashes": {"sizes_bytes": [64, 1_024, 30_720]},
    "signatures": {},
    "merkle": {"leaves": [2, 15]},
    "harness": {},
}
MASKED_OPTIONS = {"hashes": {**OPTIONS["hashes"], "libraries": ["hashlib", "cryptography"]}}


def hash_ns(instructions, labels, details):
    """A call costs 300 ns; SHA-256 takes half of MD5's time per byte, or twice as much without its instructions."""
    size = labels["size_bytes"]
    per_byte = {"sha256": 0.5 if instructions == SHA_NI else 2.0, "md5": 1.0}.get(details["suite"], 0.7)
    return 300 + per_byte * size


def plain_ns(instructions, labels, details):
    """Whatever is no base takes twice as long."""
    return 2_000.0 if details.get("library", details.get("scheme")) else 1_000.0


def planted_ns(instructions, labels, details):
    return 10_000 * details["planted"]


TIMES = {"hashes": hash_ns, "signatures": plain_ns, "merkle": plain_ns, "harness": planted_ns}


def make_raw(suite, time_ns=None, *, count=14, masked=False):
    """Raw rows as a run has them: ``count`` processes with four blocks each, with noise of half a percent."""
    time_ns, chance, rows = time_ns or TIMES[suite], random.Random(suite), []
    for process in range(count):
        for instructions in (SHA_NI, MASKED) if masked else (SHA_NI,):
            options = MASKED_OPTIONS[suite] if instructions == MASKED else OPTIONS[suite]
            groups = [family.as_group() for family in FAMILIES[suite](**options)]
            shared = {"case": f"p{process}", "status": "ok", "process": process, "instructions": instructions}
            about = {group.name: describe_group(group, (LOOPS, LOOPS)) for group in groups}
            about[HARNESS] = {"base": NOTHING, "variants": [NOTHING], "labels": {}, "details": {}, "loops": [1, 1]}
            rows.append({**shared, "kind": "process", "groups": about, "void_rounds": 0})
            for name, group in about.items():
                rows += [{**shared, **block_row(name, group, instructions, time_ns, chance)} for _ in range(4)]
    return pd.DataFrame(json.loads(json.dumps(rows)))


def block_row(name, group, instructions, time_ns, chance):
    spent = {}
    for variant in (*group["variants"], CONTROL):
        details = group["details"].get(group["base"] if variant == CONTROL else variant, {})
        exact = 1.0 if name == HARNESS else time_ns(instructions, group["labels"], details)
        spent[variant] = [round(exact * LOOPS * 1_000 * chance.lognormvariate(0, 0.005)) for _ in range(2)]
    order = list(spent)
    forward, backward = ({variant: spent[variant][at] for variant in order} for at in range(2))
    return {
        "kind": "block", "group": name, "round": 0, "order": order, "loops": LOOPS * 1_000,
        "forward_ns": forward, "backward_ns": backward,
    }  # fmt: skip


def build(suite, raw):
    return {table.name: table.build(raw) for table in find_experiment(suite).tables}


# -- cases -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", {"sha_ni", "avx2"}, "SHA-NI"),
        ("AMD64", {"avx2"}, "no SHA-NI"),
        ("x86_64", set(), "as is"),
        ("aarch64", {"sha2", "aes"}, "ARMv8 SHA2"),
        ("aarch64", {"aes"}, "as is"),
        ("arm64", set(), "as is"),
    ],
)
def test_the_instructions_are_named_by_what_the_processor_has(machine, flags, expected):
    assert find_instructions(flags, machine) == expected


def test_masked_processes_take_turns_with_the_others(monkeypatch):
    monkeypatch.setattr(processes, "find_instructions", lambda: SHA_NI)
    scenario = replace(load_scenario("quick"), paired=Paired(processes=2))
    cases = find_experiment("hashes").cases(scenario)
    assert [case.label for case in cases] == ["sha-ni-p00", "sha-ni-masked-p00", "sha-ni-p01", "sha-ni-masked-p01"]
    plain, masked = (case.settings for case in cases[:2])
    assert plain["environment"] == {}
    assert "libraries" not in plain["options"]
    assert masked["environment"] == {"OPENSSL_ia32cap": ":~0x20000000:~0:~0:~0"}
    assert masked["options"]["libraries"] == ["hashlib", "cryptography"]
    assert plain["process"] == masked["process"] == 0
    assert plain["blocks"] == masked["blocks"] == 3


@pytest.mark.parametrize(("plan", "expected"), [(1, (1, 1, 6)), (4, (3, 2, 24)), (10, (8, 5, 60))])
def test_blocks_follow_the_plan_and_there_is_always_one(plan, expected):
    scenario = replace(load_scenario("quick"), paired=Paired(processes=1, blocks=plan))
    found = [find_experiment(name).cases(scenario)[0].settings["blocks"] for name in ("hashes", "merkle", "harness")]
    assert tuple(found) == expected


@pytest.mark.parametrize("found", ["no SHA-NI", "ARMv8 SHA2", "as is"])
def test_nothing_is_masked_where_there_is_nothing_to_mask(monkeypatch, found):
    monkeypatch.setattr(processes, "find_instructions", lambda: found)
    cases = find_experiment("hashes").cases(load_scenario("smoke"))
    assert {case.settings["instructions"] for case in cases} == {found}
    assert len({case.label for case in cases}) == load_scenario("smoke").paired.processes


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_every_case_of_a_profile_can_be_declared_and_written_down(name, profile):
    scenario = load_scenario(profile)
    cases = find_experiment(name).cases(scenario)
    assert len(cases) >= scenario.paired.processes
    assert {case.engine for case in cases} == {"paired"}
    json.dumps([dict(case.settings) for case in cases])


# -- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_tables_have_their_columns_a_control_per_group_and_unique_keys(name):
    experiment, found = find_experiment(name), build(name, make_raw(name))
    for table in experiment.tables:
        frame = found[table.name]
        assert list(frame.columns) == list(table.columns)
        assert set(table.highlights) <= set(table.columns)
        assert not frame.empty
        for keys in (table.keys, *(comparison.keys for comparison in table.comparisons)):
            assert not keys or not frame.duplicated(list(keys)).any()
        for comparison in table.comparisons:
            controls = frame[frame["is_control"]]
            assert set(controls[comparison.verdict]) == {"holds"}
            assert len(controls) == (frame[comparison.verdict] == "base").sum() > 0
            others = frame[~frame["is_control"] & frame[comparison.verdict].ne("base")]
            assert (others[comparison.low] <= others[comparison.ratio]).all()
            assert (others[comparison.ratio] <= others[comparison.high]).all()


def test_md5_is_slower_than_sha256_with_its_instructions_and_faster_without():
    tables = build("hashes", make_raw("hashes", masked=True))
    frame = tables["hashes"]
    frame = frame[frame["size_bytes"].eq(30_720) & frame["variant"].eq("md5")]
    verdicts = dict(zip(zip(frame["instructions"], frame["library"], strict=True), frame["verdict"], strict=True))
    assert verdicts == {
        (SHA_NI, "hashlib"): "slower", (SHA_NI, "cryptography"): "slower", (SHA_NI, "pycryptodome"): "slower",
        (MASKED, "hashlib"): "faster", (MASKED, "cryptography"): "faster",
    }  # fmt: skip
    assert frame["is_weak"].all()
    libraries = tables["hashes_libraries"]
    assert set(libraries[libraries["instructions"] == MASKED]["variant"]) == {"hashlib", "cryptography", CONTROL}


def test_throughput_is_size_over_time_and_its_ends_change_places():
    frame = build("hashes", make_raw("hashes"))["hashes"]
    assert frame["gigabyte_per_s"].to_numpy() == pytest.approx((frame["size_bytes"] / frame["median_ns"]).to_numpy())
    assert (frame["gigabyte_per_s_low"] <= frame["gigabyte_per_s"]).all()
    assert (frame["gigabyte_per_s"] <= frame["gigabyte_per_s_high"]).all()


def test_sizes_of_proofs_are_exact_and_once_per_library():
    frame = build("merkle", make_raw("merkle", count=2))["merkle_sizes"]
    assert list(frame[frame["leaves"] == 15]["variant"])[:2] == ["flat hash", "ehrcore"]
    ours = frame[frame["variant"] == "ehrcore"].set_index("leaves")
    assert list(ours["proof_bytes_max"]) == [32, 128]
    assert frame["proof_digests_max"].dtype.kind == "i"


def test_the_harness_table_says_whether_what_was_planted_was_found():
    frame = build("harness", make_raw("harness"))["harness"].set_index("variant")
    assert frame.loc["+3.1 %", "verdict"] == "slower"
    assert frame.loc["+0.4 %", "verdict"] == "unresolved"
    judged = frame[frame["verdict"] != "base"]
    assert list(judged["is_right"]) == [True] * len(judged)
    assert frame[frame["verdict"] == "base"]["is_right"].isna().all()
    assert frame.loc[NOTHING, "harness_share"] == pytest.approx(100)


def test_an_engine_that_finds_nothing_or_too_much_is_not_as_expected():
    blind = build("harness", make_raw("harness", lambda *_: 10_000.0))["harness"].set_index("variant")
    assert list(blind.loc[["+3.1 %", "-3.1 %"], "is_right"]) == [False, False]
    keen = make_raw("harness", lambda _, __, details: 10_000.0 * (1.05 if details["expected"] == "unresolved" else 1))
    keen = build("harness", keen)["harness"].set_index("variant")
    assert list(keen.loc[["the same again", "+0.4 %"], "is_right"]) == [False, False]


@pytest.mark.parametrize("name", NAMES)
def test_too_few_processes_resolve_nothing_and_still_make_tables_and_figures(name):
    experiment, found = find_experiment(name), build(name, make_raw(name, count=1))
    for table in experiment.tables:
        for comparison in table.comparisons:
            frame = found[table.name]
            assert set(frame[frame[comparison.verdict].ne("base")][comparison.verdict]) == {"unresolved"}
    for figure in experiment.figures:
        assert figure.draw(found).axes


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_that_was_never_quiet_leaves_tables_without_numbers(name):
    raw = make_raw(name, count=2)
    experiment, found = find_experiment(name), build(name, raw[raw["kind"] == "process"])
    for table in experiment.tables:
        assert list(found[table.name].columns) == list(table.columns)
        for comparison in table.comparisons:
            assert found[table.name][comparison.low].isna().all()
    for figure in experiment.figures:
        assert figure.draw(found).axes
    if name == "harness":
        assert found[name]["is_right"].isna().all()
    if name == "hashes":
        assert found["hashes_overhead"]["call_ns"].isna().all()


# -- call overhead ---------------------------------------------------------------------------------------------------


def test_a_line_through_exact_points_is_found_whatever_one_stray_point_says():
    points = [(size, 300 + 0.5 * size) for size in (64, 1_024, 8_192, 30_720, 1 << 20)]
    assert fit_line(points) == pytest.approx((300, 0.5))
    for stray in range(1, 4):
        spoilt = [(x, y * (3 if at == stray else 1)) for at, (x, y) in enumerate(points)]
        assert fit_line(spoilt) == pytest.approx((300, 0.5))


def test_no_line_of_a_fine_grid_deviates_less():
    chance = random.Random(1)
    points = [(size, (300 + 0.5 * size) * chance.lognormvariate(0, 0.05)) for size in (64, 1_024, 8_192, 30_720)]

    def deviate(call, byte):
        return sum(abs(call + byte * x - y) / y for x, y in points)

    least = deviate(*fit_line(points))
    assert all(deviate(200 + 2 * a, 0.4 + 0.002 * b) >= least - 1e-9 for a in range(101) for b in range(101))


def test_one_size_makes_no_line():
    call, byte = fit_line([(64, 1.0), (64, 2.0)])
    assert call != call  # noqa: PLR0124 - NaN
    assert byte != byte  # noqa: PLR0124 - the same


def test_overhead_and_time_per_byte_come_out_of_the_blocks():
    frame = estimate_overhead(make_raw("hashes", masked=True)).set_index(["instructions", "library", "suite"])
    for kind, per_byte in ((SHA_NI, 0.5), (MASKED, 2.0)):
        row = frame.loc[(kind, "hashlib", "sha256")]
        assert row["call_ns"] == pytest.approx(300, rel=0.03)
        assert row["byte_ns"] == pytest.approx(per_byte, rel=0.01)
        assert row["call_ns_low"] <= row["call_ns"] <= row["call_ns_high"]
        assert row["misfit"] < 2
        assert row["sizes"] == 3
    assert (MASKED, "pycryptodome", "sha256") not in frame.index


# -- figures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_figures_can_be_drawn_from_the_tables_alone(name):
    found = build(name, make_raw(name))
    for figure in find_experiment(name).figures:
        assert figure.draw(found).axes


def test_panels_bear_the_instructions_in_their_titles_and_weak_functions_a_word():
    found = build("hashes", make_raw("hashes", masked=True))
    throughput, ratios = (figure.draw(found) for figure in find_experiment("hashes").figures)
    assert [axes.get_title() for axes in ratios.axes] == [SHA_NI, MASKED]
    assert [axes.get_title() for axes in throughput.axes] == [f"hashlib, {SHA_NI}", f"hashlib, {MASKED}"]
    words = [text.get_text() for text in ratios.legends[0].get_texts()]
    assert {"md5 (broken)", "sha1 (broken)", "sha256 over itself"} <= set(words)
    assert ratios.axes[1].texts[0].get_text().strip() == "code of its own: no mask"


@pytest.mark.parametrize(
    ("size", "name"), [(64, "64"), (1_000, "1,000"), (1_024, "1 Ki"), (30_720, "30 Ki"), (1 << 20, "1 Mi")]
)
def test_sizes_are_named_as_a_tick_says_them(size, name):
    assert name_size(size) == name


# -- whole processes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=getattr(pytest.mark, "slow" if name == "hashes" else "long")) for name in NAMES]
)
def test_an_experiment_runs_in_real_processes_and_its_tables_and_figures_can_be_made(tmp_path, name):
    scenario = replace(
        load_scenario("smoke"),
        paired=Paired(processes=2, blocks=1),
        hashes=Hashes(suites=["sha256", "md5"], sizes_bytes=[64, 1_024]),
        signatures=Signatures(libraries=["cryptography", "coincurve"]),
        merkle=Merkle(leaves=[3]),
    )
    experiment, context = find_experiment(name), Context(scenario, None, tmp_path)
    rows = [{"status": "ok", **row} for case in experiment.cases(scenario) for row in run_paired(context, case)]
    raw = pd.DataFrame(json.loads(json.dumps([row for row in rows if row["status"] == "ok"])))
    found = {table.name: table.build(raw) for table in experiment.tables}
    for table in experiment.tables:
        assert list(found[table.name].columns) == list(table.columns)
    for figure in experiment.figures:
        assert figure.draw(found).axes
