"""The sections of a scenario that are about real networks, and what is done to them as to simulated ones."""

from typing import Annotated, Literal

import msgspec

from bench.ranges import Count, Names, Positive, Seconds, Topologies


class Net(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a real network is measured, one process per node: a closed loop that finds what it can do, then an open loop.

    ``table1_rows`` and ``variants`` (``rule/suite``) are measured so beside their simulations, each ``repeats`` times.
    Proof of work has ``difficulty_bits``.  ``records`` is how many of the run's records transactions cite, ``attempts``
    how often a step is played while others take too much of the machine.
    """

    table1_rows: list[Annotated[int, msgspec.Meta(ge=1, le=18)]] = []
    variants: list[str] = []
    repeats: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    outstanding: Annotated[int, msgspec.Meta(ge=15, le=4_000)] = 240
    warm_s: Seconds = 1.0
    seconds: Seconds = 3.0
    latency_s: Seconds = 3.0
    load_share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    timeout_s: Seconds = 30.0
    max_wait_ms: Annotated[int, msgspec.Meta(ge=1, le=360_000)] = 250
    difficulty_bits: Annotated[int, msgspec.Meta(ge=0, le=40)] = 20
    records: Count = 200
    attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 2


class Load(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ladder of offered loads on real networks: ``shares`` of what a closed loop finds, ascending.

    Each of ``networks``, started anew, is taken up the ladder ``rounds`` times in random order, ``seconds`` a rung.
    The lowest lasts for ``first_tx`` transactions if that is longer: whether a network keeps up at all hangs on it
    alone, and a block more or less at its ends, 5 % of a short rung, must not decide that.
    """

    topologies: Topologies = msgspec.field(default_factory=lambda: [[1, 1, 1, 1], [3, 3, 5, 2]])
    shares: Annotated[list[Annotated[float, msgspec.Meta(gt=0, le=10)]], msgspec.Meta(min_length=2)] = msgspec.field(
        default_factory=lambda: [0.3, 0.5, 0.7, 0.85, 1.0, 1.15]
    )
    arrivals: Literal["poisson", "constant"] = "poisson"
    networks: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    rounds: Annotated[int, msgspec.Meta(ge=1, le=100)] = 7
    seconds: Seconds = 2.0
    first_tx: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    cap_ms: Positive = 250.0


class Agree(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Simulation against real networks: costs are fitted on ``calibration``, and ``topologies`` are predicted.

    None is in both.  ``transactions`` are simulated for each prediction.
    """

    calibration: Topologies = msgspec.field(default_factory=lambda: [[1, 1, 1, 1], [2, 2, 1, 1]])
    topologies: Topologies = msgspec.field(
        default_factory=lambda: [[1, 2, 2, 1], [2, 2, 3, 1], [3, 3, 4, 2], [3, 3, 5, 2]]
    )
    repeats: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    transactions: Count = 600


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Faults under a steady load of ``per_second`` for ``seconds``: in mid-run they are there from fault_s to heal_s.

    ``groups`` of cells are simulated for each of ``seeds``; networks of ``administrators`` take ever more faulty ones.
    ``net`` names cells that are measured on real nodes, too, ``repeats`` times.  Nobody waits for what is committed
    later than ``settle_s`` after the load.  Time-outs and the wait for a block are those of both kinds of network.
    """

    groups: Names = msgspec.field(default_factory=lambda: ["limit", "rules", "stakes", "kinds", "roles", "controls"])
    administrators: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=100)]], msgspec.Meta(min_length=1)] = (
        msgspec.field(default_factory=lambda: [3, 4, 5, 7, 10])
    )
    seeds: Count = 3
    per_second: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 30.0
    seconds: Seconds = 10.0
    fault_s: Seconds = 3.0
    heal_s: Seconds = 7.0
    settle_s: Seconds = 8.0
    max_wait_ms: Annotated[int, msgspec.Meta(ge=1, le=360_000)] = 150
    propose_timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=360_000)] = 300
    vote_timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=360_000)] = 150
    timeout_step_ms: Annotated[int, msgspec.Meta(ge=0, le=360_000)] = 50
    net: list[str] = []
    repeats: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1

    def __post_init__(self) -> None:
        if not self.fault_s < self.heal_s < self.seconds:
            raise ValueError("Expected fault_s < heal_s < seconds")


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Impersonations: ``tries`` of each attack, stolen sensor ``readings``, ``messages`` of a deterministic signer.

    Names are asked for ``denials`` times each; ``net`` adds what only real nodes can show.
    """

    tries: Annotated[int, msgspec.Meta(ge=1, le=3)] = 3
    readings: Annotated[int, msgspec.Meta(ge=4, le=10_000)] = 40
    messages: Annotated[int, msgspec.Meta(ge=2, le=1_000)] = 64
    denials: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    net: bool = True


class Abuse(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Floods and the like on a real network, each for ``seconds`` after ``before_s`` without; ``after_s`` follow.

    An honest visitor submits ``per_second`` all the while.  ``attacks`` names those that are played (all if empty).
    """

    attacks: list[str] = []
    per_second: Annotated[float, msgspec.Meta(gt=0, le=1_000)] = 40.0
    before_s: Seconds = 1.2
    seconds: Seconds = 0.8
    after_s: Seconds = 0.1
    settle_s: Seconds = 10.0
