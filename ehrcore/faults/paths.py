"""What a plan does to messages between two nodes: cut, lost, doubled, late, or of one twin's side only."""

from random import Random

from ehrcore.faults.plan import Cut, FaultPlan, Lossy, Twin

_NEVER = 1 << 63


class Paths:
    """Every way from one node to another, by name.

    Chance is drawn per way from a label of seed, sender and receiver, four numbers a message while a loss lasts there,
    so a fault elsewhere changes nothing here.
    """

    def __init__(self, plan: FaultPlan, seed: str) -> None:
        self._seed = seed
        self._cuts: dict[tuple[str, str], list[Cut]] = {}
        self._losses: dict[tuple[str, str], list[Lossy]] = {}
        self._streams: dict[tuple[str, str], Random] = {}
        for fault in plan.faults:
            if isinstance(fault, Cut | Lossy):
                for way in ((sender, receiver) for sender in fault.senders for receiver in fault.receivers):
                    if isinstance(fault, Cut):
                        self._cuts.setdefault(way, []).append(fault)
                    else:
                        self._losses.setdefault(way, []).append(fault)

    def copies(self, sender: str, receiver: str, now: int) -> tuple[int, ...]:
        """The extra delay (ns) of each copy that arrives of a message sent now; none if it is lost."""
        way = sender, receiver
        if any(_is_active(cut, now) for cut in self._cuts.get(way, ())):
            return ()
        active = [loss for loss in self._losses.get(way, ()) if _is_active(loss, now)]
        if not active:
            return (0,)
        chance = self._streams.get(way)
        if chance is None:
            chance = self._streams[way] = Random(f"{self._seed}|lossy|{sender}|{receiver}")
        lost, doubled = chance.random(), chance.random()
        delay = sum(loss.delay_ns for loss in active)
        delays = int(chance.expovariate(1.0) * delay), int(chance.expovariate(1.0) * delay)
        kept = single = 1.0
        for loss in active:
            kept, single = kept * (1 - loss.loss), single * (1 - loss.duplication)
        if lost >= kept:
            return ()
        return delays if doubled >= single else delays[:1]


def _is_active(fault: Cut | Lossy, now: int) -> bool:
    return fault.start_ns <= now < (_NEVER if fault.end_ns is None else fault.end_ns)


class Sides:
    """Which of a twin's two copies (0, 1) says and hears what."""

    def __init__(self, twin: Twin) -> None:
        one, two = frozenset(twin.side_a), frozenset(twin.side_b)
        self._strangers = two - one, one - two
        self._hears_all = twin.hears_all

    def may_say(self, copy: int, receiver: str) -> bool:
        """Whether ``copy`` talks to ``receiver``."""
        return receiver not in self._strangers[copy]

    def may_hear(self, copy: int, sender: str) -> bool:
        """Whether ``copy`` hears ``sender``."""
        return self._hears_all or sender not in self._strangers[copy]
