"""What a node has in a simulation with faults, besides its role machine."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from ehrcore.drive.processors import Station
from ehrcore.drive.repeats import Repeats
from ehrcore.effects import Effect, Effects, Received
from ehrcore.faults.log import Log
from ehrcore.faults.paths import Sides
from ehrcore.faults.plan import Pause
from ehrcore.types import SECOND, Role, node_id

#: As of real nodes (`ehrcore.drive.net.sync`): how often one asks for blocks, how soon if it knows that one is missing,
#: and how long it waits for an answer (ns).
PAUSE_NS: Final = SECOND
RETRY_NS: Final = PAUSE_NS // 20
TIMEOUT_NS: Final = 2 * SECOND


@dataclass(frozen=True, slots=True)
class Again:
    """Work: say again what is not final."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Work: the node ``asker`` wants the blocks from height ``first`` on; ``ticket`` numbers its requests."""

    asker: int
    ticket: int
    first: int
    at: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """Work: the blocks that were asked for, as if they had been sent."""

    events: tuple[Received, ...]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Work: the blocks of an answer have been handled; ``height`` was that before them."""

    height: int


@dataclass(slots=True)
class Step:
    """What one event has caused, on its way out.

    ``logged`` is what the node itself wants to know again, None if it has noted all of it before.  The step has a
    processor until it waits for the disk.
    """

    station: Station
    sized: list[tuple[Effect, int]]
    logged: Effects | None
    has_core: bool = True


class Follower:
    """Whom a node asks for blocks, and when: one peer after the other while there may be more, else now and then."""

    def __init__(self, name: str, roles: Mapping[str, Role], seed: str) -> None:
        sources = [peer for peer, role in roles.items() if role in {Role.CONTRIBUTOR, Role.ADMINISTRATOR}]
        self.peers = [peer for peer in (node_id(Role.COORDINATOR, 0), *sources) if peer != name]
        self._chance = Random(f"{seed}|follow")
        self.silent = len(self.peers)
        self.ticket = self.generation = 0
        self.due: int | None = None
        self.is_asking = self.has_answer = self.has_gap = False

    def restart(self) -> None:
        """A new process knows nothing of requests and answers before it."""
        self.silent, self.due = 0, None
        self.generation += 1
        self.ticket += 1
        self.is_asking = self.has_answer = self.has_gap = False

    @property
    def has_asked_all(self) -> bool:
        """Whether nobody had more, as far as this node knows."""
        return self.silent >= len(self.peers)

    def choose(self) -> str:
        """The peer to ask next."""
        return self._chance.choice(self.peers) if self.has_asked_all else self.peers[self.silent]

    def pause_ns(self, *, is_syncing: bool) -> int:
        """How long to wait before asking again."""
        if self.has_gap:
            self.has_gap = False
            return RETRY_NS
        pause = PAUSE_NS // 10 if is_syncing else PAUSE_NS
        return int(pause * self._chance.uniform(0.8, 1.2))


@dataclass(slots=True)
class Place:
    """One node's log, upkeep and faults; ``copy`` says which of a twin's two it is.

    ``is_held``: it stands still between two steps, its station taken though nothing runs.  ``late`` is the step that
    was over during a pause, ``held`` what came in while an administrator asked for the chain.
    """

    log: Log
    follower: Follower | None
    repeats: Repeats = field(default_factory=Repeats)
    offset_ns: int = 0
    sides: Sides | None = None
    copy: int = 0
    is_down: bool = False
    is_syncing: bool = False
    pauses: list[Pause] = field(default_factory=list)
    is_held: bool = False
    step: Step | None = None
    late: Step | None = None
    held: deque[tuple[Any, int]] = field(default_factory=deque)
    factors: list[float] = field(default_factory=list)
    is_repeating: bool = False
    seen: tuple[int, int] = (0, 0)
