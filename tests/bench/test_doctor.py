"""`ehrbench doctor`: a verdict for each reading, on fakes; how findings look; exit codes."""

import json
import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.__main__ import main
from bench.diagnosis import render_findings
from bench.measure import readings as readings_module
from bench.measure.doctor import ORDER, RULES, Item, Readings, as_json, examine, is_bimodal, judge
from bench.measure.readings import find_power, gather_readings, time_epochs

GIB = 1 << 30
CHANCE = random.Random("epochs")
STEADY = tuple(CHANCE.gauss(2e6, 1e4) for _ in range(400))
FIT = Readings(
    machine={
        "usable_cores": 8, "logical_cores": 8, "is_virtual": False, "hypervisor": None, "product": "A product",
        "vendor": "A maker", "governor": "performance", "turbo": "off", "is_smt_active": False, "clock_source": "tsc",
        "clock_step_ns": 40, "sha_ni": "on", "energy_counters": "package-0", "cpu_quota": "none",
    },
    versions={
        "python": "3.13.1", "variables": ["PYTHONHASHSEED=0"], "ecdsa_integers": "python",
        "python_build": {"options": ["--enable-optimizations"], "compiler_options": ["-O3"], "is_debug": False},
    },
    noise={
        "steal_share": 0.0, "foreign_cpu_share": 0.01, "throttled_periods": 0, "load_average": [0.2, 0.2, 0.2],
    },
    epochs_ns=STEADY,
    power=None,
    free_memory_bytes=16 * GIB,
    free_disk_bytes=50 * GIB,
    missing=(),
)  # fmt: skip


def on(**machine: Any) -> Readings:
    return replace(FIT, machine={**FIT.machine, **machine})


def amid(**noise: Any) -> Readings:
    return replace(FIT, noise={**FIT.noise, **noise})


def built(**build: Any) -> Readings:
    return replace(FIT, versions={**FIT.versions, "python_build": {**FIT.versions["python_build"], **build}})


def two_levels(share: float, step: float) -> tuple[float, ...]:
    return tuple(value * (1 + step * (CHANCE.random() < share)) for value in STEADY)


#: Readings -> the item that they change, its verdict, and words that it has to say.
FINDINGS: dict[str, tuple[Readings, str, str, str]] = {
    "uneven": (replace(FIT, epochs_ns=[value + CHANCE.gauss(0, 8e4) for value in STEADY]), "steadiness", "limited",
               "small differences stay unresolved"),
    "wild": (replace(FIT, epochs_ns=[value * CHANCE.uniform(1, 2) for value in STEADY]), "steadiness", "unfit", "IQR"),
    "two levels": (replace(FIT, epochs_ns=two_levels(0.15, 0.3)), "steadiness", "limited", "two levels"),
    "busy": (amid(foreign_cpu_share=0.1), "other processes", "limited", "10.0% of all cores"),
    "overrun": (amid(foreign_cpu_share=0.26), "other processes", "unfit", "void above 25%"),
    "foreign unknown": (amid(foreign_cpu_share=None), "other processes", "limited", "not visible here"),
    "stolen": (amid(steal_share=0.03), "steal", "limited", "3.0% of all cores"),
    "robbed": (amid(steal_share=0.2), "steal", "unfit", "void above 5%"),
    "steal unknown": (amid(steal_share=None), "steal", "limited", "not visible here"),
    "loaded": (amid(load_average=[30.0, 1.0, 1.0]), "load", "limited", "30.00 on 8 cores"),
    "throttled": (amid(throttled_periods=3), "quota", "unfit", "stopped us 3 times"),
    "limited": (on(cpu_quota="1.5 cores"), "quota", "limited", "1.5 cores"),
    "one core": (on(usable_cores=1), "cores", "limited", "the only core"),
    "virtual": (on(is_virtual=True, hypervisor="xen"), "virtual machine", "limited", "xen"),
    "virtual of a maker": (on(is_virtual=True), "virtual machine", "limited", "A product"),
    "perhaps virtual": (on(is_virtual=None), "virtual machine", "limited", "not visible here"),
    "powersave": (on(governor="powersave"), "frequency governor", "limited", "cpupower"),
    "mixed governors": (on(governor="performance, powersave"), "frequency governor", "limited", "powersave"),
    "no governor": (on(governor=None), "frequency governor", "limited", "not visible here"),
    "turbo": (on(turbo="on"), "turbo", "limited", "no_turbo"),
    "turbo unknown": (on(turbo=None), "turbo", "limited", "not visible here"),
    "SMT": (on(is_smt_active=True), "SMT", "limited", "smt/control"),
    "SMT unknown": (on(is_smt_active=None), "SMT", "limited", "not visible here"),
    "SMT of a guest": (on(is_virtual=True), "SMT", "limited", "not visible here"),
    "slow clock": (on(clock_source="acpi_pm", clock_step_ns=5_000), "clock", "limited", "acpi_pm, steps of 5,000 ns"),
    "coarse clock": (on(clock_source=None, clock_step_ns=1_000_000), "clock", "unfit", "available_clocksource"),
    "on battery": (replace(FIT, power="battery"), "power", "limited", "plug it in"),
    "masked": (on(sha_ni="masked"), "SHA instructions", "limited", "unset OPENSSL_ia32cap"),
    "no SHA": (on(sha_ni="absent"), "SHA instructions", "limited", "slower than MD5"),
    "SHA unknown": (on(sha_ni=None), "SHA instructions", "limited", "not visible here"),
    "no counters": (on(energy_counters="none: the kernel shows none"), "energy counters", "limited", "RAPL"),
    "counters of root": (on(energy_counters="none: package-0: its energy counter may be read by root alone"),
                         "energy counters", "limited", "sudo chmod a+r"),
    "debug build": (built(is_debug=True), "Python", "unfit", "a debug build"),
    "no optimisation": (built(compiler_options=["-O3", "-O0"]), "Python", "unfit", "-O0"),
    "no profile": (built(options=["--enable-shared"]), "Python", "limited", "without profile-guided optimisation"),
    "no byte code": (replace(FIT, versions={**FIT.versions, "variables": ["PYTHONDONTWRITEBYTECODE=1"]}), "byte code",
                     "limited", "unset PYTHONDONTWRITEBYTECODE"),
    "packages": (replace(FIT, missing=["pymerkle", "blake3", "merkletools"]), "optional packages", "limited",
                 "pip install 'ehrbench[blake3,peers]'"),
    "little memory": (replace(FIT, free_memory_bytes=GIB), "free memory", "limited", "1.0 GiB"),
    "no memory": (replace(FIT, free_memory_bytes=GIB // 4), "free memory", "unfit", "0.2 GiB"),
    "little disk": (replace(FIT, free_disk_bytes=GIB), "free disk", "limited", "1.0 GiB"),
    "full disk": (replace(FIT, free_disk_bytes=GIB // 10), "free disk", "unfit", "make room"),
}  # fmt: skip


def test_a_machine_without_fault_is_fit_and_costs_nothing() -> None:
    items = examine(FIT)
    assert judge(items) == "fit"
    assert all(not item.cost and not item.mend for item in items)
    assert len({item.what for item in items}) == len(items) == len(RULES)


@pytest.mark.parametrize("name", FINDINGS)
def test_a_fault_is_found_with_its_cost(name: str) -> None:
    readings, what, verdict, words = FINDINGS[name]
    items = {item.what: item for item in examine(readings)}
    item = items[what]
    assert item.verdict == verdict
    assert item.cost
    assert words in f"{item.found} {item.cost} {item.mend}"
    others = {other.what for other in items.values() if other.verdict != "fit"} - {what}
    assert others <= {"virtual machine", "SMT"}, "one fault is one item"
    assert judge([*items.values()]) == verdict


def test_every_rule_has_a_fault_that_it_finds() -> None:
    found = {what for _, what, _, _ in FINDINGS.values()}
    assert {item.what for item in examine(FIT)} - found == {"integers of ecdsa"}, "which is told, not judged"


@given(st.lists(st.sampled_from(ORDER), max_size=9))
def test_the_verdict_is_the_worst_of_all(verdicts: list[Any]) -> None:
    items = [Item("a", "b", verdict) for verdict in verdicts]
    assert judge(items) == ("unfit" if "unfit" in verdicts else "limited" if "limited" in verdicts else "fit")


# -- two levels --------------------------------------------------------------------------------------------------------

SHAPES: dict[str, Callable[[random.Random], float]] = {
    "normal": lambda chance: chance.gauss(1, 0.05),
    "uniform": lambda chance: chance.uniform(0.8, 1.2),
    "skewed": lambda chance: 1 + chance.expovariate(5),
    "long-tailed": lambda chance: chance.lognormvariate(0, 0.5),
    "constant": lambda _: 1.0,
    "few outliers": lambda chance: 5.0 if chance.random() < 0.03 else chance.gauss(1, 0.01),
}


@pytest.mark.parametrize("shape", SHAPES)
@given(seed=st.integers(0, 1 << 32), size=st.integers(150, 600))
def test_one_level_is_never_taken_for_two(shape: str, seed: int, size: int) -> None:
    chance = random.Random(seed)
    assert not is_bimodal([SHAPES[shape](chance) for _ in range(size)])


@given(seed=st.integers(0, 1 << 32), share=st.floats(0.2, 0.8), step=st.floats(0.1, 2))
def test_two_levels_are_found(seed: int, share: float, step: float) -> None:
    chance = random.Random(seed)
    values = [chance.gauss(1, 0.01) + step * (place < share * 200) for place in range(200)]
    assert is_bimodal(values)


def test_two_levels_that_are_close_do_not_matter() -> None:
    assert not is_bimodal([1.0] * 50 + [1.02] * 50)


# -- readings ----------------------------------------------------------------------------------------------------------


def test_readings_are_gathered_below_a_root(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    stat = tmp_path / "proc" / "stat"
    stat.write_text("cpu  100 0 0 900 0 0 0 0 0 0\n")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        stat.write_text("cpu  200 0 0 1700 0 0 0 100 0 0\n")

    now = iter(range(0, 1 << 62, 2_000_000))
    found = gather_readings(tmp_path, tmp_path, {"PYTHONDONTWRITEBYTECODE": "1"}, sleep, lambda: next(now))
    assert slept == [2.0]
    assert found.noise["steal_share"] == pytest.approx(0.1)
    assert found.noise["foreign_cpu_share"] == pytest.approx(0.1, abs=0.02)
    assert found.versions["variables"] == ["PYTHONDONTWRITEBYTECODE=1"]
    assert found.machine["governor"] is None
    assert len(found.epochs_ns) > 100
    assert {item.what for item in examine(found)} == {item.what for item in examine(FIT)}


def test_epochs_are_of_equal_work_and_fill_a_second() -> None:
    ticks = iter(range(0, 1 << 62, 2_000_000))  # each reading of the clock takes as long as an epoch has to
    epochs = time_epochs(lambda: next(ticks))
    assert set(epochs) == {2_000_000}
    assert sum(epochs) * 3 == pytest.approx(1e9, rel=0.01), "beside each epoch's two readings one looks for the end"


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ({}, None),
        ({"AC": ("Mains", "")}, None),
        ({"AC": ("Mains", ""), "BAT0": ("Battery", "Charging")}, "mains"),
        ({"BAT0": ("Battery", "Full")}, "mains"),
        ({"BAT0": ("Battery", "Full"), "BAT1": ("Battery", "Discharging")}, "battery"),
    ],
)
def test_power_is_read_from_the_batteries(
    supplies: dict[str, tuple[str, str]], expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    for name, (kind, status) in supplies.items():
        folder = tmp_path / "sys/class/power_supply" / name
        folder.mkdir(parents=True)
        (folder / "type").write_text(f"{kind}\n")
        (folder / "status").write_text(f"{status}\n")
    assert find_power(tmp_path) == expected


@pytest.mark.parametrize(("is_plugged", "expected"), [(True, "mains"), (False, "battery"), (None, None)])
def test_elsewhere_psutil_tells(
    is_plugged: bool | None, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    battery = None if is_plugged is None else SimpleNamespace(percent=50, power_plugged=is_plugged)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    assert find_power(tmp_path) == expected


# -- how it looks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [10, 80, 200])
@pytest.mark.parametrize("name", ["virtual", "throttled", "counters of root"])
def test_findings_are_plain_lines_that_fit_a_pipe(name: str, width: int) -> None:
    items = examine(FINDINGS[name][0])
    text = render_findings(items, width=width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= max(min(width, 100), 40)
    assert text.isascii()
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in lines)
    for item in items:
        assert any(line.startswith(item.verdict) and item.what.split()[0] in line for line in lines), item
    whole = " ".join(text.split())
    assert f"Overall: {judge(items)} (" in whole


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in render_findings(examine(FIT), is_terminal=True)


@pytest.mark.parametrize(("name", "code"), [("virtual", 0), ("robbed", 1)])
def test_the_exit_code_is_that_of_the_verdict(
    name: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readings, what, verdict, _ = FINDINGS[name]
    monkeypatch.setattr(readings_module, "gather_readings", lambda _: readings)
    for words in (["doctor"], ["doctor", "--json"]):
        with pytest.raises(SystemExit) if code else nullcontext() as stop:
            main(words)
        assert (stop.value.code if stop else 0) == code
        out, err = capsys.readouterr()
        assert err == "Watching the machine for three seconds ...\n"
        assert verdict in out
    found = json.loads(out)
    assert found == as_json(examine(readings))
    assert found["verdict"] == verdict
    (item,) = [item for item in found["items"] if item["what"] == what]
    assert set(item) == {"what", "found", "verdict", "cost", "mend"}


def test_a_bad_flag_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--verbose"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "ehrbench: No such option '--verbose'.\n"
