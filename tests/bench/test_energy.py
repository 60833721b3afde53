"""Energy: counters on a fake tree of the kernel's files, with a fake clock; estimates; the experiment built on both."""

import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import scenario as scenario_module
from bench.analysis.paired import needed_clusters
from bench.engines.base import Context
from bench.engines.energy import BLOCK_BYTES, Operation, build_operations, count_chunk, describe, play, run_energy
from bench.errors import BenchError
from bench.experiments.base import Case, Row
from bench.experiments.energy import COLUMNS, EXPERIMENT, build_energy, declare_cases
from bench.measure import energy as energy_module
from bench.measure.energy import (
    LEAST_WINDOW_S,
    Meter,
    NoCountersError,
    Window,
    attribute,
    compute_co2_g,
    estimate,
    find_packages,
)
from bench.scenario import Energy, load_scenario
from bench.workload import build_workload

WATTS = Energy(watts_low=2.0, watts_mid=4.0, watts_high=8.0, source="a test")
RANGE_UJ = 262_143_328_850


class Powercap:
    """The kernel's tree of counters, with a clock: power flows as time passes."""

    def __init__(self, root: Path) -> None:
        self.root, self.now, self.cpu_s = root, 100.0, 5.0
        self.watts: dict[Path, float] = {}
        self.counted_uj: dict[Path, int] = {}
        root.mkdir()

    def add(self, zone: str, name: str, watts: float, start_uj: int = 1_000) -> Path:
        folder = self.root / zone
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        (folder / "energy_uj").write_text(f"{start_uj}\n")
        self.watts[folder], self.counted_uj[folder] = watts, start_uj
        return folder

    def add_type(self, name: str) -> None:
        """The control type itself stands beside its zones, without a counter."""
        (self.root / name).mkdir()
        (self.root / name / "enabled").write_text("1\n")

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for folder, watts in self.watts.items():
            self.counted_uj[folder] = (self.counted_uj[folder] + round(watts * seconds * 1e6)) % RANGE_UJ
            if (folder / "energy_uj").exists():
                (folder / "energy_uj").write_text(f"{self.counted_uj[folder]}\n")

    def work(self, seconds: float, extra_watts: float = 0.0) -> None:
        """Our own work: processor time, and more power on every package."""
        self.watts = {folder: watts + extra_watts for folder, watts in self.watts.items()}
        self.sleep(seconds)
        self.watts = {folder: watts - extra_watts for folder, watts in self.watts.items()}
        self.cpu_s += seconds

    def meter(self) -> Meter:
        return Meter(self.root, clock=lambda: self.now, cpu_clock=lambda: self.cpu_s, sleep=self.sleep)


@pytest.fixture
def tree(tmp_path: Path) -> Powercap:
    return Powercap(tmp_path / "powercap")


def refuse_reading(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Tests may run as root, whom no mode of a file keeps out."""
    read_text = Path.read_text

    def read(self: Path, *args: Any, **options: Any) -> str:
        if self == folder / "energy_uj":
            raise PermissionError(13, "Permission denied", str(self))
        return read_text(self, *args, **options)

    monkeypatch.setattr(Path, "read_text", read)


# -- counters ----------------------------------------------------------------------------------------------------------


def test_packages_alone_are_counted_each_once(tree: Powercap) -> None:
    for name in ("intel-rapl", "intel-rapl-mmio", "dtpm"):
        tree.add_type(name)
    tree.add("intel-rapl:0", "package-0", 10.0)
    tree.add("intel-rapl:0:0", "core", 6.0)
    tree.add("intel-rapl:0:1", "uncore", 1.0)
    tree.add("intel-rapl:0:2", "dram", 2.0)
    tree.add("intel-rapl:1", "package-1", 20.0)
    tree.add("intel-rapl:2", "psys", 99.0)
    tree.add("intel-rapl-mmio:0", "package-0", 10.0)
    assert [(package.name, package.folder.name) for package in find_packages(tree.root)] == [
        ("package-0", "intel-rapl:0"),
        ("package-1", "intel-rapl:1"),
    ]
    window = tree.meter().measure(lambda: tree.work(2.0))
    assert window.joules == pytest.approx(60.0)
    assert window.watts == pytest.approx(30.0)
    assert (window.wall_s, window.cpu_s, window.reason) == (2.0, 2.0, "")


def test_dies_of_a_package_are_counted_apart(tree: Powercap) -> None:
    tree.add("intel-rapl:0", "package-0-die-0", 10.0)
    tree.add("intel-rapl:1", "package-0-die-1", 10.0)
    assert tree.meter().measure(lambda: tree.work(1.0)).joules == pytest.approx(20.0)


def test_a_package_that_only_its_memory_window_shows_is_counted(tree: Powercap) -> None:
    tree.add("intel-rapl-mmio:0", "package-0", 10.0)
    assert tree.meter().measure(lambda: tree.work(1.0)).joules == pytest.approx(10.0)


def test_the_memory_window_stands_in_for_registers_that_may_not_be_read(
    tree: Powercap, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_reading(monkeypatch, tree.add("intel-rapl:0", "package-0", 10.0))
    tree.add("intel-rapl-mmio:0", "package-0", 10.0)
    assert [package.folder.name for package in find_packages(tree.root)] == ["intel-rapl-mmio:0"]


@given(start=st.integers(0, RANGE_UJ - 1), watts=st.floats(0.5, 400), seconds=st.floats(LEAST_WINDOW_S, 60))
def test_a_counter_may_begin_again_at_any_place(
    tmp_path_factory: pytest.TempPathFactory, start: int, watts: float, seconds: float
) -> None:
    tree = Powercap(tmp_path_factory.mktemp("tree") / "powercap")
    tree.add("intel-rapl:0", "package-0", watts, start_uj=start)
    assert tree.meter().measure(lambda: tree.work(seconds)).joules == pytest.approx(watts * seconds, rel=1e-3)


def test_no_tree_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(NoCountersError, match="shows no energy counter"):
        find_packages(tmp_path / "none")


def test_parts_without_their_package_are_no_measurement(tree: Powercap) -> None:
    tree.add("intel-rapl:0:0", "core", 6.0)
    tree.add("intel-rapl:1", "psys", 60.0)
    with pytest.raises(NoCountersError, match="shows no energy counter"):
        find_packages(tree.root)


def _refused(tree: Powercap, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    refuse_reading(monkeypatch, folder)
    return "package-1: its energy counter may be read by root alone"


def _unreadable(tree: Powercap, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / "energy_uj").write_text("none\n")
    return "package-1: its energy counter cannot be read"


def _missing(tree: Powercap, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / "energy_uj").unlink()
    return "package-1: its energy counter cannot be read"


def _no_range(tree: Powercap, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / "max_energy_range_uj").unlink()
    return "package-1: the range of its energy counter cannot be read"


@pytest.mark.parametrize("spoil", [_refused, _unreadable, _missing, _no_range])
def test_one_package_that_cannot_be_read_spoils_the_sum(
    spoil: Callable[..., str], tree: Powercap, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.add("intel-rapl:0", "package-0", 10.0)
    reason = spoil(tree, tree.add("intel-rapl:1", "package-1", 10.0), monkeypatch)
    meter = tree.meter()
    assert meter.reason == reason
    window = meter.measure(lambda: tree.work(1.5))
    assert (window.wall_s, window.cpu_s, window.joules, window.watts, window.reason) == (1.5, 1.5, None, None, reason)
    assert meter.rest(1.0).wall_s == 0, "nobody waits for what is not counted"


def _vanishes(tree: Powercap, folder: Path) -> str:
    (folder / "energy_uj").unlink()
    tree.work(1.0)
    return "package-0: its energy counter cannot be read"


def _stands_still(tree: Powercap, folder: Path) -> str:
    tree.watts[folder] = 0.0
    tree.work(1.0)
    return "package-0: its energy counter stands still"


def _is_short(tree: Powercap, folder: Path) -> str:
    tree.work(0.99)
    return "a window of 0.99 s is too short to measure, which takes 1.0 s"


def _jumps(tree: Powercap, folder: Path) -> str:
    tree.work(1.0)
    (folder / "energy_uj").write_text("500\n")  # below the start: reset, not wrapped
    return "package-0: its energy counter jumped by 262133 J"


def _goes_round(tree: Powercap, folder: Path) -> str:
    tree.work(300.0)
    return "package-0: its energy counter may go round within 300 s"


@pytest.mark.parametrize("spoil", [_vanishes, _stands_still, _is_short, _jumps, _goes_round])
def test_what_cannot_be_believed_is_estimated_with_the_reason(spoil: Callable[..., str], tree: Powercap) -> None:
    folder = tree.add("intel-rapl:0", "package-0", 10.0)
    meter, reasons = tree.meter(), []
    idle = meter.rest(1.0)
    window = meter.measure(lambda: reasons.append(spoil(tree, folder)))
    use = attribute(window, [idle], WATTS)
    assert (use.status, use.reason) == ("estimated", reasons[0])
    assert (use.joules_low, use.joules_mid, use.joules_high) == (
        2 * window.cpu_s, 4 * window.cpu_s, 8 * window.cpu_s
    )  # fmt: skip
    assert use.joules_low > 0, "never a silent zero"


# -- attribution -------------------------------------------------------------------------------------------------------


def test_the_work_took_what_is_above_idle_and_at_most_everything(tree: Powercap) -> None:
    tree.add("intel-rapl:0", "package-0", 10.0)
    meter = tree.meter()
    before = meter.rest(2.0)
    window = meter.measure(lambda: tree.work(2.0, extra_watts=5.0))
    tree.watts = dict.fromkeys(tree.watts, 12.0)
    use = attribute(window, [before, meter.rest(2.0)], WATTS)
    edges = 2 * 1e-3 * 15.0
    assert (use.status, use.reason, use.cpu_s) == ("measured", "", 2.0)
    assert use.joules_mid == pytest.approx(30.0 - 22.0)
    assert use.joules_low == pytest.approx(30.0 - 24.0 - edges)
    assert use.joules_high == pytest.approx(30.0 + edges)


@given(
    joules=st.floats(1, 1e4),
    wall_s=st.floats(1, 60),
    idle_watts=st.lists(st.floats(0.1, 200), min_size=1, max_size=4),
)
def test_the_bounds_are_in_order_and_never_below_0(joules: float, wall_s: float, idle_watts: list[float]) -> None:
    idle = [Window(1.0, 0.0, watts) for watts in idle_watts]
    use = attribute(Window(wall_s, wall_s, joules), idle, WATTS)
    assert 0 <= use.joules_low <= use.joules_mid <= use.joules_high
    assert use.status == "measured", "what came out low is not left out"
    is_above = joules > sum(idle_watts) / len(idle_watts) * wall_s
    assert (use.joules_mid > 0) is is_above
    assert bool(use.reason) is not is_above, "nothing is silently zero"


def test_without_an_idle_window_nothing_is_called_measured() -> None:
    window, failed = Window(1.0, 1.0, 10.0), Window(0.5, 0.0, None, "too short")
    for idle, reason in (([], "there is none"), ([failed], "too short")):
        use = attribute(window, idle, WATTS)
        assert (use.status, use.reason) == ("estimated", f"no idle window was measured: {reason}")


@given(cpu_s=st.floats(0, 1e6))
def test_an_estimate_is_processor_time_times_watts(cpu_s: float) -> None:
    use = estimate(cpu_s, WATTS, "why")
    assert (use.joules_low, use.joules_mid, use.joules_high) == (cpu_s * 2, cpu_s * 4, cpu_s * 8)
    assert (use.status, use.reason, use.cpu_s) == ("estimated", "why", cpu_s)


def test_carbon_is_a_plain_factor_or_nothing() -> None:
    assert compute_co2_g(3.6e6, WATTS) is None
    grid = msgspec.structs.replace(WATTS, grams_co2_per_kwh=250.0, grid_source="a test")
    assert compute_co2_g(3.6e6, grid) == 250.0
    clean = msgspec.structs.replace(WATTS, grams_co2_per_kwh=0.0, grid_source="a waterfall")
    assert compute_co2_g(3.6e6, clean) == 0.0


# -- the profile file --------------------------------------------------------------------------------------------------


def test_the_watts_of_all_profiles_stand_in_one_file_with_their_source() -> None:
    found = [load_scenario(name).energy for name in ("smoke", "quick", "paper")]
    assert found[0] == found[1] == found[2]
    assert "data sheets" in found[0].source
    assert found[0].grams_co2_per_kwh is None


OVERLAYS = {
    "watts without their source": ("watts_mid = 9.0", "Expected the source of the watts beside them"),
    "an empty source": ('source = ""', "length >= 1 - at `$.energy.source`"),
    "carbon without its source": ("grams_co2_per_kwh = 300.0", "grams_co2_per_kwh and grid_source together"),
    "a source without carbon": ('grid_source = "somebody"', "grams_co2_per_kwh and grid_source together"),
    "negative carbon": ('grams_co2_per_kwh = -1.0\ngrid_source = "x"', ">= 0.0 - at `$.energy.grams_co2_per_kwh`"),
    "disorder": ('watts_high = 1.0\nsource = "x"', "Expected watts_low <= watts_mid <= watts_high - at `$.energy`"),
}


@pytest.mark.parametrize("mutation", OVERLAYS)
def test_an_overlay_that_is_wrong_is_named(mutation: str, tmp_path: Path) -> None:
    text, expected = OVERLAYS[mutation]
    overlay = tmp_path / "mine.toml"
    overlay.write_text(f"[energy]\n{text}\n")
    with pytest.raises(BenchError) as caught:
        load_scenario("smoke", overlay)
    assert str(caught.value).startswith(f"{overlay}: ")
    assert expected in str(caught.value)


def test_an_overlay_may_give_watts_with_their_source_or_carbon_alone(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.toml"
    overlay.write_text('[energy]\nwatts_mid = 9.0\nsource = "a wall meter"\n')
    assert (load_scenario("smoke", overlay).energy.watts_mid, load_scenario("smoke").energy.watts_mid) == (9.0, 8.4)
    overlay.write_text('[energy]\ngrams_co2_per_kwh = 0.5\ngrid_source = "the waterfall behind the house"\n')
    assert load_scenario("smoke", overlay).energy.grams_co2_per_kwh == 0.5


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("energy.toml", "[energy]\nwatts_low = 5.0\n", "bench/profiles/energy.toml: Object missing required field"),
        ("energy.toml", "[energi]\n", "bench/profiles/energy.toml: "),
        ("energy.toml", "[energy\n", "energy.toml: expected TOML, found: "),
        ("smoke.toml", "bogus = 1\n", "profile smoke: Object contains unknown field `bogus`"),
    ],
)
def test_of_the_files_of_the_suite_the_wrong_one_is_named(
    file: str, text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(scenario_module.__file__).parent / "profiles"
    (tmp_path / "profiles").mkdir()
    for name in ("energy.toml", "smoke.toml"):
        (tmp_path / "profiles" / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "profiles" / file).write_text(text)
    monkeypatch.setattr(scenario_module.resources, "files", lambda _: tmp_path)
    with pytest.raises(BenchError) as caught:
        load_scenario("smoke")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


# -- the engine --------------------------------------------------------------------------------------------------------


def make_operations(tree: Powercap, times_s: dict[str, float]) -> list[Operation]:
    """Operations that take so many seconds per call on the tree's clock, and 5 W."""

    def runner(seconds: float) -> Callable[[int], object]:
        return lambda count: tree.work(seconds * count, extra_watts=5.0)

    return [Operation("hash", name, is_control=False, run=runner(seconds)) for name, seconds in times_s.items()]


def test_every_operation_has_a_window_there_and_one_back_between_idle_ones(tree: Powercap) -> None:
    tree.add("intel-rapl:0", "package-0", 10.0)
    operations = make_operations(tree, {"a": 0.02, "b": 0.05, "c": 0.25})
    played = play(tree.meter(), operations, 1.0, lambda: tree.now)
    assert [(place["direction"], place["operation"]) for place, _, _ in played] == [
        *(("forward", name) for name in "abc"), *(("backward", name) for name in "cba")
    ]  # fmt: skip
    for place, window, idle in played:
        assert window.wall_s >= 1.0
        seconds = {"a": 0.02, "b": 0.05, "c": 0.25}[place["operation"]]
        assert window.cpu_s / place["calls"] == pytest.approx(seconds)
        assert [rest.watts for rest in idle] == pytest.approx([10.0, 10.0])
    assert played[0][2][1] is played[-1][2][0], "the idle window in the middle serves both passes"
    for row in describe(played, WATTS):
        assert row["energy_status"] == "measured"
        assert row["joules_mid"] == pytest.approx(5.0 * row["wall_s"], rel=1e-6)
        assert row["package_j"] == pytest.approx(15.0 * row["wall_s"], rel=1e-6)
        assert row["co2_g"] is None


def test_a_chunk_is_a_thousandth_of_a_second_whatever_the_first_call_took(tree: Powercap) -> None:
    calls: list[int] = []

    def run(count: int) -> None:
        tree.now += count * 1e-5 + (0.5 if not calls else 0.0)  # a cold first call
        calls.append(count)

    assert count_chunk(run, lambda: tree.now) == 128


def test_operations_are_the_suites_and_signing_with_a_control_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)
    operations, missing = build_operations(["md5", "sha256", "blake3"])
    assert [(item.group, item.operation, item.is_control) for item in operations] == [
        ("hash", "sha256", False),
        ("hash", "md5", False),
        ("hash", "sha256", True),
        ("signature", "sign", False),
        ("signature", "sign", True),
        ("signature", "verify", False),
    ]
    (skipped,) = missing
    assert (skipped["status"], skipped["operation"]) == ("skipped", "blake3")
    assert "not installed" in skipped["reason"]
    for operation in operations:
        operation.run(2)
    assert BLOCK_BYTES == 30_720


def test_a_repeat_on_this_machine_leaves_whole_rows(tmp_path: Path) -> None:
    scenario = load_scenario("smoke")
    context = Context(scenario, build_workload((), "none"), tmp_path)
    rows = run_energy(context, Case("repeat-00", "energy", {"repeat": 0, "seconds": 0.002, "planned": 1}))
    windows = [row for row in rows if row["kind"] == "window"]
    assert len(windows) == 2 * (len(scenario.hashes.suites) + 4)
    assert all(row["cpu_s"] > 0 and row["calls"] > 0 and row["joules_low"] > 0 for row in windows)
    assert {row["energy_status"] for row in windows} <= {"estimated", "measured"}
    frame = build_energy(pd.DataFrame(rows))
    assert list(frame.columns) == list(COLUMNS)
    assert set(frame["verdict"]) == {"base", "unresolved"}


def test_what_is_missing_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)
    context = Context(load_scenario("smoke"), build_workload((), "none"), tmp_path)
    for repeat, skipped in ((0, 1), (1, 0)):
        case = Case(f"repeat-{repeat:02}", "energy", {"repeat": repeat, "seconds": 0.001, "planned": 2})
        assert sum(row.get("status") == "skipped" for row in run_energy(context, case)) == skipped


def test_a_repeat_that_others_disturbed_is_void(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.measure.noise.void_reason", lambda _, limits: f"too much above {limits}")
    context = Context(load_scenario("quick"), build_workload((), "none"), tmp_path)
    rows = run_energy(context, Case("repeat-00", "energy", {"repeat": 0, "seconds": 0.001, "planned": 1}))
    assert rows[0]["is_void"] is True
    assert "status" not in rows[0], "what was seen of the others counts"
    assert {row["status"] for row in rows[1:]} <= {"void", "skipped"}
    assert all("foreign_cpu_share=0.25" in row["reason"] for row in rows[1:] if row["status"] == "void")


# -- the experiment ----------------------------------------------------------------------------------------------------


def raw_rows(repeats: int, times_us: dict[tuple[str, str, bool], float], **window: Any) -> list[Row]:
    """Windows of a second with so many microseconds per call, and noise that a repeat's windows share in part."""
    chance, rows = random.Random("raw"), []
    for repeat in range(repeats):
        rows.append({"kind": "repeat", "repeat": repeat, "is_void": False})
        level = chance.lognormvariate(0, 0.1)
        for direction in ("forward", "backward"):
            for (group, operation, is_control), us in times_us.items():
                cpu_s = us * 1e-6 * 1_000 * level * chance.lognormvariate(0, 0.005)
                rows.append({
                    "kind": "window", "repeat": repeat, "direction": direction, "group": group, "operation": operation,
                    "is_control": is_control, "calls": 1_000, "wall_s": 1.0, "cpu_s": cpu_s, "joules_low": 2 * cpu_s,
                    "joules_mid": 4 * cpu_s, "joules_high": 8 * cpu_s, "energy_status": "estimated",
                    "energy_reason": "no counter", "co2_g": None, **window,
                })  # fmt: skip
    return rows


TIMES = {
    ("signature", "sign", True): 30.0,
    ("hash", "sha1", False): 20.3,
    ("hash", "md5", False): 48.0,
    ("hash", "sha256", True): 20.0,
    ("hash", "sha256", False): 20.0,
    ("signature", "verify", False): 75.0,
    ("signature", "sign", False): 30.0,
}


def test_planted_ratios_are_found_and_controls_hold() -> None:
    frame = build_energy(pd.DataFrame(raw_rows(needed_clusters(3) + 4, TIMES)))
    assert list(frame[["operation", "is_control"]].itertuples(index=False, name=None)) == [
        ("sha256", False), ("md5", False), ("sha1", False), ("sha256", True),
        ("sign", False), ("verify", False), ("sign", True),
    ]  # fmt: skip
    rows = {(row["operation"], row["is_control"]): row for row in frame.to_dict("records")}
    assert rows["sha256", False]["verdict"] == rows["sign", False]["verdict"] == "base"
    assert rows["md5", False]["verdict"] == rows["verify", False]["verdict"] == "more"
    assert rows["md5", False]["ratio_low"] < 2.4 < rows["md5", False]["ratio_high"]
    assert rows["sha1", False]["verdict"] == "unresolved", "1.5 % is less than any effect that is called one"
    assert rows["sha256", True]["verdict"] == rows["sign", True]["verdict"] == "holds"
    assert rows["verify", False]["cpu_us"] == pytest.approx(75, rel=0.2)
    assert rows["verify", False]["energy_uj_mid"] == pytest.approx(4 * rows["verify", False]["cpu_us"])
    assert set(frame["energy_status"]) == {"estimated"}
    assert set(frame["energy_reason"]) == {"no counter"}
    assert frame["co2_ug"].isna().all()


def test_a_control_that_differs_is_caught() -> None:
    planted = TIMES | {("hash", "sha256", True): 21.0}
    frame = build_energy(pd.DataFrame(raw_rows(14, planted)))
    controls = frame[frame["is_control"]].set_index("operation")["verdict"]
    assert controls.to_dict() == {"sha256": "violated", "sign": "holds"}


def test_too_few_repeats_resolve_nothing_and_have_no_interval() -> None:
    frame = build_energy(pd.DataFrame(raw_rows(2, TIMES)))
    others = frame[frame["verdict"] != "base"]
    assert set(others["verdict"]) == {"unresolved"}
    assert others[["ratio_low", "ratio_high"]].isna().all(axis=None)
    assert others["ratio"].notna().all()


def test_joules_are_those_of_the_measured_windows_and_the_rest_is_said() -> None:
    rows = raw_rows(2, TIMES, energy_status="measured", energy_reason="", joules_mid=7.0, co2_g=0.5)
    for row in rows[1:8]:
        row |= {"energy_status": "estimated", "energy_reason": "it vanished", "joules_mid": 1.0}
    frame = build_energy(pd.DataFrame(rows))
    assert set(frame["energy_status"]) == {"measured"}
    assert set(frame["energy_uj_mid"]) == {7.0 / 1_000 * 1e6}
    assert set(frame["co2_ug"]) == {0.5 / 1_000 * 1e6}
    assert set(frame["windows"]) == {3}
    assert set(frame["energy_reason"]) == {"1 of 4 windows are left out: it vanished"}


def test_void_repeats_are_counted() -> None:
    rows = raw_rows(3, TIMES)
    rows.append({"kind": "repeat", "repeat": 3, "is_void": True})
    frame = build_energy(pd.DataFrame(rows))
    assert set(frame["voided"]) == {1}
    assert set(frame["repeats"]) == {3}


def test_cases_are_repeats_of_windows_that_fit_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Powercap(tmp_path / "powercap")
    monkeypatch.setattr(energy_module, "find_packages", lambda _: find_packages(tree.root))
    plans = load_scenario("quick").energy_windows
    for is_counting, plan in ((False, plans.uncounted), (True, plans.counted)):
        if is_counting:
            tree.add("intel-rapl:0", "package-0", 10.0)
        cases = declare_cases(load_scenario("quick"))
        assert len(cases) == len({case.label for case in cases}) == plan.repeats
        assert {case.settings["seconds"] for case in cases} == {plan.seconds}
    assert plans.counted.seconds >= LEAST_WINDOW_S
    assert plans.uncounted.repeats >= needed_clusters(7), "seven ratios are judged together"


@pytest.mark.parametrize(("profile", "most_s"), [("quick", 26), ("smoke", 5)])
def test_the_windows_keep_to_their_time(profile: str, most_s: float) -> None:
    scenario = load_scenario(profile)
    windows = 2 * (len(scenario.hashes.suites) + 4)
    counted, uncounted = scenario.energy_windows.counted, scenario.energy_windows.uncounted
    assert counted.repeats * counted.seconds * (windows + 3) <= most_s
    assert uncounted.repeats * uncounted.seconds * windows <= most_s


def test_the_table_is_a_comparison_with_its_columns() -> None:
    (table,) = EXPERIMENT.tables
    (comparison,) = table.comparisons
    columns = {*comparison.keys, comparison.ratio, comparison.low, comparison.high, comparison.verdict, "is_control"}
    assert columns <= set(table.columns)
    assert set(table.highlights) <= set(table.columns)


def test_the_figure_says_what_its_numbers_are() -> None:
    frame = build_energy(pd.DataFrame(raw_rows(2, TIMES)))
    figure = EXPERIMENT.figures[0].draw({"energy": frame})
    (axes,) = figure.axes
    assert "estimated" in axes.get_xlabel()
    assert "measured" not in axes.get_xlabel()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["verify", "sign", "sha1", "md5", "sha256"]
    assert math.isclose(max(line.get_xdata()[-1] for line in axes.lines), frame["energy_uj_high"].max())
