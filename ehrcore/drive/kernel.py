"""A discrete-event kernel in virtual time: integer nanoseconds and a total order.

Events are ordered by ``(at, node, origin, counter)``: when, for whom, from whom, and the origin's own count.  No two
events share a key, so the order depends neither on insertion nor on hashing, and a run is repeatable byte by byte.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

#: What happens at an event: called with the node's index and the event's argument.
Action = Callable[[int, Any], None]


class Kernel:
    """The queue of events and the clock."""

    __slots__ = ("_heap", "dispatched", "now")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, int, Action, Any]] = []
        self.now = 0
        self.dispatched = 0

    def schedule(self, at: int, node: int, origin: int, counter: int, action: Action, argument: Any) -> None:
        """Call ``action(node, argument)`` at ``at >= now``; ``counter`` must be new for ``origin``."""
        heappush(self._heap, (at, node, origin, counter, action, argument))

    def run(self, until: int, most: int | None = None) -> int:
        """Dispatch every event up to and including ``until``, or ``most`` of them; returns how many.

        The clock stands at the last event dispatched (at ``until`` if no event is left before it).
        """
        heap, pop, push = self._heap, heappop, heappush
        count = first = self.dispatched
        limit = -1 if most is None else first + most
        while heap and count != limit:
            event = pop(heap)
            at, node, _, _, action, argument = event
            if at > until:
                push(heap, event)
                break
            self.now = at
            self.dispatched = count = count + 1
            action(node, argument)
        if count != limit and self.now < until and (heap or until < 1 << 62):
            self.now = until
        return count - first

    @property
    def pending(self) -> int:
        return len(self._heap)
