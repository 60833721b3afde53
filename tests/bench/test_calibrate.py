"""Unit costs: operations take turns, the median epoch counts, and every number of a cost model has its source."""

import gc
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import pytest

from bench.measure import calibrate as module
from bench.measure.calibrate import Measured, calibrate, time_in_turns
from bench.scenario import Scenario, load_scenario
from ehrcore.codec import encode
from ehrcore.consensus.work import grind
from ehrcore.hashing import find_suite


class Clock:
    """A clock that only operations move."""

    def __init__(self) -> None:
        self.now = 0

    def perf_counter_ns(self) -> int:
        return self.now

    def takes(self, *durations_ns: int) -> Callable[[], None]:
        """An operation that takes these times in turn, the last one from then on."""
        left = list(durations_ns)

        def operation() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return operation


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def test_constant_operations_are_measured_exactly(clock: Clock) -> None:
    found = time_in_turns({"slow": clock.takes(3_000_000), "fast": clock.takes(40)})
    assert found == {"slow": Measured("slow", 3_000_000, 0.0), "fast": Measured("fast", 40, 0.0)}


def test_an_epoch_lasts_at_least_two_milliseconds(clock: Clock) -> None:
    calls = []
    measure = clock.takes(30_000)

    def operation() -> None:
        calls.append(clock.now)
        measure()

    time_in_turns({"operation": operation})
    loops = 128  # 67 calls fill 2 ms; powers of two are tried
    assert len(calls) == (1 + 2 + 4 + 8 + 16 + 32 + 64 + loops) + 11 * loops


def test_the_median_epoch_counts_and_the_spread_is_said(clock: Clock) -> None:
    warm = (2_000_000,)
    epochs = (2_000_000, 9_000_000, 2_000_000, 4_000_000, 2_000_000, 2_000_000, 3_000_000, *[2_000_000] * 4)
    found = time_in_turns({"bumpy": clock.takes(*warm, *epochs)})["bumpy"]
    assert found.median_ns == 2_000_000
    assert found.spread == pytest.approx(0.5)


def test_operations_take_turns(clock: Clock) -> None:
    order: list[str] = []

    def note(name: str) -> Callable[[], None]:
        operation = clock.takes(5_000_000)

        def call() -> None:
            order.append(name)
            operation()

        return call

    time_in_turns({"a": note("a"), "b": note("b")})
    assert order == ["a", "b", *["a", "b"] * 11]


@pytest.mark.parametrize("was_enabled", [True, False])
def test_garbage_collection_is_off_meanwhile_and_then_as_before(clock: Clock, was_enabled: bool) -> None:
    seen = []
    step = clock.takes(5_000_000)

    def operation() -> None:
        seen.append(gc.isenabled())
        step()

    (gc.enable if was_enabled else gc.disable)()
    try:
        time_in_turns({"operation": operation})
        assert gc.isenabled() is was_enabled
    finally:
        gc.enable()
    assert not any(seen[1:])


def test_garbage_collection_comes_back_after_an_error(clock: Clock) -> None:
    calls = iter([5_000_000])

    def operation() -> None:
        clock.now += next(calls)

    with pytest.raises(StopIteration):
        time_in_turns({"operation": operation})
    assert gc.isenabled()


PLANTED_NS = {
    "sign": 20_000.4,
    "verify": 50_000.0,
    "message-small": 8_000.0,
    "message-large": 48_000.0,
    "sha256-small": 464.0,
    "sha256-large": 30_784.0,
    "sha256-grind": 800_000.0,
    "md5-small": 300.0,
    "md5-large": 299.0,  # noise: a large message that seems cheaper must not give a negative cost
    "md5-grind": 100.0,
}


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text('[variants]\nsuites = ["md5"]\n')
    return load_scenario("smoke", overlay)


def test_a_cost_model_is_made_of_what_was_measured(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations: dict[str, Callable[[], object]] = {}

    def planted(given: dict[str, Callable[[], object]]) -> dict[str, Measured]:
        operations.update(given)
        return {name: Measured(name, PLANTED_NS[name], 0.0) for name in given}

    monkeypatch.setattr(module, "time_in_turns", planted)
    monkeypatch.setattr(module, "_time_commits", lambda _: Measured("persist", 200_000.0, 0.1))
    found = calibrate(scenario, tmp_path)
    assert set(operations) == set(PLANTED_NS), "SHA-256 is calibrated whether the scenario names it or not"
    assert [item.name for item in found.measured] == [*operations, "persist"]
    costs = found.costs["sha256"]
    assert (costs.sign_ns, costs.verify_ns, costs.persist_ns) == (20_000, 50_000, 200_000)
    assert (costs.hash_ns, costs.hash_byte_ps) == (401, round(30_320 / 30_656 * 1_000))
    assert costs.grind_ns == 400
    small, large = len(encode(module._endorse())), len(encode(module.sample_block()))
    # Encoding plus decoding is two sides; the line through both sizes gives the cost of a side and of a byte.
    assert costs.message_cost_ns(small) == pytest.approx(4_000, abs=2)
    assert costs.message_cost_ns(large) == pytest.approx(24_000, abs=40)
    weak = found.costs["md5"]
    assert (weak.hash_ns, weak.hash_byte_ps, weak.grind_ns) == (300, 0, 1)


def test_every_operation_does_what_its_name_says(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: dict[str, object] = {}

    def call_once(given: dict[str, Callable[[], object]]) -> dict[str, Measured]:
        results.update({name: operation() for name, operation in given.items()})
        return {name: Measured(name, PLANTED_NS[name], 0.0) for name in given}

    monkeypatch.setattr(module, "time_in_turns", call_once)
    calibrate(scenario, tmp_path)
    assert results["message-small"] == module._endorse()
    assert results["message-large"] == module.sample_block()
    assert results["sha256-small"] == find_suite("sha256").hash(bytes(64))
    assert results["md5-large"] == find_suite("md5").hash(bytes(30_720))
    assert results["sha256-grind"] is None, "a search that ends early would seem cheap"
    assert grind is module.grind
    assert len(results["sign"]) == 64  # type: ignore[arg-type]
    assert list(tmp_path.glob("*calibration*")) == [], "the durable commits leave nothing"


def test_noise_never_makes_a_cost_negative(scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = PLANTED_NS | {"message-small": 1.0, "message-large": 9e9, "sha256-small": 1.0, "sha256-large": 9e9}
    monkeypatch.setattr(
        module, "time_in_turns", lambda given: {name: Measured(name, noisy[name], 0.0) for name in given}
    )
    monkeypatch.setattr(module, "_time_commits", lambda _: Measured("persist", 1.0, 0.0))
    for model in calibrate(scenario, tmp_path).costs.values():
        assert min(astuple(model)) >= 0
    assert calibrate(scenario, tmp_path).costs["sha256"].message_ns == 0


def test_a_real_calibration_has_a_cost_for_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EPOCHS", 2)
    monkeypatch.setattr(module, "_EPOCH_NS", 50_000)
    found = calibrate(load_scenario("smoke"), tmp_path)
    assert set(found.costs) == {"sha256", "sha1", "md5"}
    for model in found.costs.values():
        assert min(model.sign_ns, model.verify_ns, model.persist_ns, model.grind_ns) > 0
    assert all(item.median_ns > 0 for item in found.measured)
