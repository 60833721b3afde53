"""The noise watch on fake files of the kernel, and the rule by which a sample is void."""

import json
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.noise import NoiseLimits, NoiseWatch, read_frequencies, void_reason

TICKS = os.sysconf("SC_CLK_TCK")


class Machine:
    """A machine of files whose times a test moves on; ours are those of the watching process."""

    def __init__(self, root: Path) -> None:
        self.root, self.ours_s = root, 0.0
        self.totals_s = dict.fromkeys(("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"), 10.0)
        self.guest_s = 0.0
        self.children: dict[str, tuple[str, float]] = {}
        self.run()

    def run(self, ours_s: float = 0.0, guest_s: float = 0.0, **totals_s: float) -> None:
        self.ours_s += ours_s
        self.guest_s += guest_s
        for name, seconds in totals_s.items():
            self.totals_s[name] += seconds
        numbers = [round(seconds * TICKS) for seconds in (*self.totals_s.values(), self.guest_s, 0.0)]
        self.write("proc/stat", f"cpu  {' '.join(map(str, numbers))}\ncpu0 1 2 3\n")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def set_child(self, pid: str, parent: str, seconds: float) -> None:
        """A running child that has taken so much; its name is as bad as a name may be."""
        self.children[pid] = (parent, seconds)
        self._write_children()
        ticks = round(seconds * TICKS)
        self.write(f"proc/{pid}/stat", f"{pid} (a) b (c) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 5 6 7\n")

    def end_child(self, pid: str) -> None:
        """It is waited for: its time is among ours from now on."""
        self.ours_s += self.children.pop(pid)[1]
        self._write_children()
        (self.root / f"proc/{pid}/stat").unlink()

    def _write_children(self) -> None:
        for parent in {"self", *self.children}:
            pids = [pid for pid, (of, _) in self.children.items() if of == parent]
            self.write(f"proc/{parent}/task/{parent}/children", " ".join(pids))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def watch(machine: Machine) -> NoiseWatch:
    return NoiseWatch(machine.root, lambda: machine.ours_s)


def test_the_noise_of_others_is_the_machines_work_less_ours(machine: Machine, watch: NoiseWatch) -> None:
    # 20 s of cores in all: 6 s of users, of which we took 3; 2 of the kernel; 8 idle, 2 waiting, 2 stolen.
    machine.run(ours_s=3, user=6, system=2, idle=8, iowait=2, steal=2)
    found = watch.lap()
    assert found["foreign_cpu_share"] == pytest.approx(5 / 20)
    assert found["steal_share"] == pytest.approx(2 / 20)
    assert json.loads(json.dumps(found)) == found


def test_what_guests_take_is_counted_once(machine: Machine, watch: NoiseWatch) -> None:
    machine.run(user=5, idle=5, guest_s=5)  # the kernel has a guest's time in `user`, too
    assert watch.lap()["foreign_cpu_share"] == pytest.approx(0.5)


def test_a_lap_begins_where_the_last_one_ended_and_the_whole_is_kept(machine: Machine, watch: NoiseWatch) -> None:
    machine.run(user=10)
    assert watch.lap()["foreign_cpu_share"] == pytest.approx(1.0)
    machine.run(idle=30)
    assert watch.lap()["foreign_cpu_share"] == pytest.approx(0.0)
    assert watch.read()["foreign_cpu_share"] == pytest.approx(0.25)
    # This very process is switched while it reads, as often as the system likes.
    first, second = ({key: value for key, value in watch.read().items() if "switches" not in key} for _ in range(2))
    assert first == second
    assert first


def test_running_children_are_ours_with_their_own_children(machine: Machine, watch: NoiseWatch) -> None:
    machine.set_child("77", "self", 3.0)
    machine.set_child("78", "77", 2.0)
    machine.run(ours_s=1, user=6, idle=4)
    assert watch.lap()["foreign_cpu_share"] == pytest.approx(0.0)


def test_a_child_that_ends_is_counted_once(machine: Machine, watch: NoiseWatch) -> None:
    machine.set_child("77", "self", 3.0)
    machine.run(user=3, idle=7)
    assert watch.lap()["foreign_cpu_share"] == pytest.approx(0.0)
    machine.end_child("77")
    machine.run(user=4, idle=6)
    assert watch.lap()["foreign_cpu_share"] == pytest.approx(0.4), "these 4 s are others', and no part is excused"


def test_rounding_is_no_time_of_others(machine: Machine, watch: NoiseWatch) -> None:
    machine.run(ours_s=5.02, user=5, idle=5)
    assert watch.lap()["foreign_cpu_share"] == 0.0


def test_counters_that_contradict_each_other_tell_nothing(machine: Machine, watch: NoiseWatch) -> None:
    machine.run(ours_s=8, user=1, idle=9)  # /proc/stat of a container, our time of the host
    assert watch.lap()["foreign_cpu_share"] is None


def test_a_watch_of_no_time_has_no_share(watch: NoiseWatch) -> None:
    found = watch.lap()
    assert (found["foreign_cpu_share"], found["steal_share"]) == (None, None)


def test_throttled_periods_are_those_of_the_lap(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/\n")
    machine.write("sys/fs/cgroup/cpu.stat", "nr_throttled 5\n")
    watch = NoiseWatch(machine.root, lambda: 0.0)
    assert watch.lap()["throttled_periods"] == 0
    machine.write("sys/fs/cgroup/cpu.stat", "nr_throttled 7\n")
    assert watch.lap()["throttled_periods"] == 2
    (machine.root / "sys/fs/cgroup/cpu.stat").unlink()
    assert watch.lap()["throttled_periods"] is None


def test_frequencies_are_of_the_cores_that_tell(machine: Machine, watch: NoiseWatch) -> None:
    assert watch.lap()["frequency_mhz"] is None
    for core, khz in enumerate((1_000_000, 2_000_000, 4_500_000)):
        machine.write(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", f"{khz}\n")
    machine.write("sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq", "<unknown>\n")
    assert read_frequencies(machine.root) == {"min": 1000.0, "mean": 2500.0, "max": 4500.0}


def test_switches_and_load_are_read(machine: Machine, watch: NoiseWatch) -> None:
    machine.write("proc/loadavg", "0.50 0.25 1.00 1/99 4711\n")
    found = watch.lap()
    assert found["load_average"] == [0.5, 0.25, 1.0]
    assert found["voluntary_switches"] >= 0
    assert found["involuntary_switches"] >= 0


def test_without_proc_the_totals_come_from_psutil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"user": 1.0, "nice": 0.0, "system": 1.0, "idle": 8.0}  # as macOS has them
    monkeypatch.setattr(psutil, "cpu_times", lambda: namedtuple("Times", times)(**times))  # noqa: PYI024
    watch = NoiseWatch(tmp_path, lambda: 0.0)
    times |= {"user": 6.0, "idle": 23.0}
    found = watch.lap()
    assert (found["foreign_cpu_share"], found["steal_share"]) == (0.25, 0.0)
    assert len(found["load_average"]) == 3


@pytest.mark.skipif(not Path("/proc/thread-self/children").exists(), reason="the kernel lists no children")
def test_the_time_of_a_real_child_is_found_while_it_runs() -> None:
    words = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    watch = NoiseWatch()
    with subprocess.Popen([sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert watch._running_children_s() > 0.25
        child.communicate(b"\n")


def test_the_real_watch_is_plain_values() -> None:
    found = NoiseWatch().read()
    assert json.loads(json.dumps(found)) == found


# -- the rule ----------------------------------------------------------------------------------------------------------

QUIET = {"steal_share": 0.0, "foreign_cpu_share": 0.0, "throttled_periods": 0}
VOID = {
    "stolen": ({"steal_share": 0.051}, "5.1% of the processor time was taken by other machines, more than 5%"),
    "foreign": ({"foreign_cpu_share": 0.3}, "30.0% of the processor time was taken by other processes, more than 25%"),
    "stopped": ({"throttled_periods": 2}, "the quota of a control group stopped us in 2 periods"),
}


@pytest.mark.parametrize("name", VOID)
def test_a_sample_is_void_where_others_took_too_much(name: str) -> None:
    noise, reason = VOID[name]
    assert void_reason(QUIET | noise, NoiseLimits()) == reason


def test_a_sample_counts_up_to_the_limits_and_where_nothing_is_known() -> None:
    at_most = {"steal_share": 0.05, "foreign_cpu_share": 0.25, "throttled_periods": 0}
    for noise in (QUIET, at_most, dict.fromkeys(QUIET), {}):
        assert void_reason(noise, NoiseLimits()) == ""
    loose = NoiseLimits(steal_share=1.0, foreign_cpu_share=1.0)
    assert void_reason({"steal_share": 1.0, "foreign_cpu_share": 1.0}, loose) == ""


@given(
    st.fixed_dictionaries({name: st.none() | st.floats(0, 1) for name in ("steal_share", "foreign_cpu_share")}),
    st.dictionaries(st.sampled_from(["median_ns", "cpu_s", "ratio", "forward_ns", "load_average"]), st.floats(0, 1e9)),
)
def test_the_rule_never_looks_at_what_was_measured(noise: dict[str, Any], measured: dict[str, float]) -> None:
    assert void_reason(noise | measured, NoiseLimits()) == void_reason(noise, NoiseLimits())
    assert {*VOID["stolen"][0], *VOID["foreign"][0]} == {*NoiseLimits.__struct_fields__}
