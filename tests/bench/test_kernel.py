"""Small files of the kernel: control groups of both versions, quotas, throttling; what is not there is None."""

import math
from pathlib import Path

import pytest

from bench.measure.kernel import count_throttled, find_cgroups, find_quota, read_number, read_text


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_text(tmp_path / "none") is None
    assert read_text(tmp_path) is None, "a folder"
    for text, expected in (("7\n", 7), ("-1\n", -1), ("", None), ("seven", None), ("max 100000", None)):
        write(tmp_path / "number", text)
        assert read_number(tmp_path / "number") == expected


def test_version_2_the_groups_above_ours_count_too(tmp_path: Path) -> None:
    base = tmp_path / "sys/fs/cgroup"
    write(tmp_path / "proc/self/cgroup", "0::/outer/inner\n")
    for folder, quota, stopped in (("outer", "150000 100000", 3), ("outer/inner", "max 100000", 4)):
        write(base / folder / "cpu.max", f"{quota}\n")
        write(base / folder / "cpu.stat", f"usage_usec 5\nnr_periods 9\nnr_throttled {stopped}\nthrottled_usec 1\n")
    assert find_cgroups(tmp_path) == (base / "outer/inner", base / "outer", base)
    assert find_quota(tmp_path) == 1.5
    assert count_throttled(tmp_path) == 7


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_version_1_has_a_folder_of_its_own_for_the_processor(tmp_path: Path, mount: str) -> None:
    base = tmp_path / "sys/fs/cgroup" / mount
    write(tmp_path / "proc/self/cgroup", "9:name=systemd:/a\n3:cpuset:/b\n2:cpu,cpuacct:/ours\n0::/c\n")
    write(base / "ours/cpu.cfs_quota_us", "200000\n")
    write(base / "ours/cpu.cfs_period_us", "100000\n")
    write(base / "ours/cpu.stat", "nr_periods 9\nnr_throttled 2\n")
    write(base / "cpu.cfs_quota_us", "-1\n")
    write(base / "cpu.cfs_period_us", "100000\n")
    assert find_cgroups(tmp_path)[:2] == (base / "ours", base)
    assert find_quota(tmp_path) == 2.0
    assert count_throttled(tmp_path) == 2


def test_a_container_sees_its_own_group_as_the_root_whatever_the_host_calls_it(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/system.slice/docker-0123.scope\n")
    write(tmp_path / "sys/fs/cgroup/cpu.max", "50000 100000\n")
    assert find_quota(tmp_path) == 0.5


def test_no_limit_is_infinite_and_no_group_is_unknown(tmp_path: Path) -> None:
    assert (find_quota(tmp_path), count_throttled(tmp_path), find_cgroups(tmp_path)) == (None, None, ())
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    write(tmp_path / "sys/fs/cgroup/cpu.max", "max 100000\n")
    assert find_quota(tmp_path) == math.inf
    assert count_throttled(tmp_path) is None, "a group that does not count is not one that was never stopped"
