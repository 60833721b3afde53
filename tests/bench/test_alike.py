"""In what two runs differ: everything that matters is found, nothing that does not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.alike import (
    SECTIONS,
    Difference,
    are_comparable,
    describe_differences,
    find_conflicts,
    find_differences,
    find_explanations,
)
from bench.experiments import find_experiment
from bench.experiments.catalogue import QUESTIONS

MANIFEST: dict[str, Any] = {
    "run_id": "a",
    "started": "2022-07-19",
    "machine": {"cpu": "A", "cpu_flags": ["aes", "sha_ni"], "sha_ni": "on", "kernel": "6.1", "clock_step_ns": 50},
    "versions": {"python": "3.11.7", "openssl_hashlib": "3.0", "packages": {"numpy": "2.0", "scipy": "1.0"}},
    "git": {"commit": "c0ffee" * 7, "is_dirty": False, "lock_sha256": "ab" * 32},
    "seed": "a seed",
    "workload": {"digest": "cd" * 32, "source": "here"},
    "scenario": {"name": "quick", "budget_s": 540, "network": {"latency_us": 100.0}, "net": {"seconds": 3.0},
                 "hashes": {"suites": ["md5"]},
                 "energy": {"watts_mid": 8.4}, "energy_windows": {"repeats": 1}, "curve": "p256"},
}  # fmt: skip


def change(path: str, value: Any) -> dict[str, Any]:
    """The manifest with one value replaced, or removed if it is None."""
    section, *keys = path.split("/")
    copy = {**MANIFEST}
    if not keys:
        return copy | {section: value}
    copy[section] = place = {**MANIFEST[section]}
    for key in keys[:-1]:
        place[key] = {**place[key]}
        place = place[key]
    place[keys[-1]] = value
    if value is None:
        del place[keys[-1]]
    return copy


CHANGES = {
    "machine/cpu": "B", "machine/cpu_flags": ["aes"], "machine/sha_ni": "masked", "machine/kernel": "6.2",
    "versions/python": "3.12.0", "versions/openssl_hashlib": None, "versions/packages/numpy": "2.1",
    "versions/packages/scipy": None, "versions/packages/more": "1", "git/commit": "d" * 42, "git/is_dirty": True,
    "git/lock_sha256": "ef" * 32, "seed": "another", "workload/digest": "01" * 32, "scenario/curve": "secp256k1",
    "scenario/network/latency_us": 1.0, "scenario/hashes/suites": ["sha1"], "scenario/energy/watts_mid": 1.0,
    "scenario/net/seconds": 9.0,
}  # fmt: skip


@pytest.mark.parametrize("path", CHANGES)
def test_one_difference_is_found_and_named(path: str) -> None:
    (found,) = find_differences(MANIFEST, change(path, CHANGES[path]))
    assert found.key == path.replace("/", ".")
    assert found.after == CHANGES[path]
    assert found.before != found.after


@pytest.mark.parametrize(
    "path", ["run_id", "started", "machine/clock_step_ns", "workload/source", "scenario/name", "scenario/budget_s"]
)
def test_what_does_not_matter_is_no_difference(path: str) -> None:
    assert find_differences(MANIFEST, change(path, "another")) == []


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=3),
    lambda inner: st.dictionaries(st.text("abc_", min_size=1, max_size=3), inner, max_size=4),
    max_leaves=6,
)
SECTION = st.dictionaries(st.text("abc_", min_size=1, max_size=3), VALUES, max_size=4)
CONTENTS = st.fixed_dictionaries({"machine": SECTION, "versions": SECTION, "git": SECTION, "scenario": SECTION})


@given(one=CONTENTS, other=CONTENTS)
def test_differences_are_the_same_from_both_sides(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert find_differences(one, one) == []
    there = find_differences(one, other)
    back = find_differences(other, one)
    assert {(item.key, repr(item.before), repr(item.after)) for item in there} == {
        (item.key, repr(item.after), repr(item.before)) for item in back
    }
    assert all(item.before != item.after for item in there)


def test_packages_come_last() -> None:
    found = find_differences(change("versions/packages/numpy", "3"), change("seed", "another"))
    assert [item.key for item in found] == ["seed", "versions.packages.numpy"]


def test_a_section_that_one_run_lacks_differs_in_all_its_values() -> None:
    without = {key: value for key, value in MANIFEST.items() if key != "machine"}
    assert {item.key for item in find_differences(without, MANIFEST)} == {
        f"machine.{key}" for key in MANIFEST["machine"] if key != "clock_step_ns"
    }


@pytest.mark.parametrize("path", CHANGES)
def test_only_machine_and_versions_make_absolute_values_incomparable(path: str) -> None:
    differences = find_differences(MANIFEST, change(path, CHANGES[path]))
    assert are_comparable(differences) == (not path.startswith(("machine", "versions")))


def test_what_may_explain_other_ratios() -> None:
    changed = [
        key for path in CHANGES for key in find_explanations(find_differences(MANIFEST, change(path, CHANGES[path])))
    ]
    assert {item.key for item in changed} == {
        "machine.cpu", "machine.cpu_flags", "machine.sha_ni", "versions.python", "versions.openssl_hashlib",
    }  # fmt: skip


#: Experiment -> what must be the same for its results to be comparable, among the values above.
CONFLICTS = {
    "framework": {"workload/digest", "scenario/network/latency_us", "scenario/curve", "scenario/energy/watts_mid"},
    "table1": {"workload/digest", "scenario/network/latency_us", "scenario/curve", "scenario/energy/watts_mid"},
    "variants": {"workload/digest", "scenario/network/latency_us", "scenario/curve", "scenario/energy/watts_mid"},
    "policy": {"workload/digest", "scenario/network/latency_us", "scenario/curve", "scenario/energy/watts_mid"},
    "latency": {"scenario/network/latency_us"},
    "load": {"workload/digest", "scenario/net/seconds", "scenario/curve", "scenario/energy/watts_mid"},
    "agree": {"workload/digest", "scenario/net/seconds", "scenario/curve", "scenario/energy/watts_mid"},
    "hashes": {"scenario/hashes/suites"},
    "energy": {"scenario/energy/watts_mid"},
    "tamper": {"scenario/curve"},
    "collisions": {"scenario/curve"},
    "privacy": {"workload/digest"},
    "storage": {"workload/digest", "scenario/curve"},
}


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize("name", QUESTIONS)
def test_an_experiment_conflicts_with_what_it_depends_on_alone(name: str, path: str) -> None:
    found = find_conflicts(find_differences(MANIFEST, change(path, CHANGES[path])), find_experiment(name))
    assert bool(found) == (path in CONFLICTS.get(name, set()))


def test_differences_in_words() -> None:
    lists = Difference("machine.cpu_flags", ["aes", "avx2"], ["aes", "sha_ni"])
    assert str(lists) == "machine.cpu_flags: -avx2 +sha_ni"
    assert str(Difference("a", ["x", "y"], ["y", "x"])) == "a: another order"
    assert str(Difference("a", None, "b")) == "a: nothing -> b"
    assert str(Difference("git.commit", "ab" * 20, "cd" * 20)) == "git.commit: abababababab… -> cdcdcdcdcdcd…"
    assert len(str(Difference("a", "long " * 99, "b"))) < 60
    found = describe_differences([lists] * 5, 2)
    assert found == [str(lists), str(lists), "and 3 more"]
    assert describe_differences([lists], 2) == [str(lists)]


def test_every_section_that_is_compared_is_one_of_a_manifest(lab: Any) -> None:
    lab.add("a", lambda *_: [{}])
    lab.run("a")
    assert set(SECTIONS) <= set(lab.manifest)
