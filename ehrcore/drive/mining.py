"""Searching for proof of work in virtual time: really ground, or drawn from its distribution.

On a chain with real signatures the nonce is searched for real, in bounded slices.  On a modelled chain the number of
tries is drawn (geometric, mean = difficulty) and the modelled nonce stands for the result.  Either way the
virtual time and the processor time are tries times the calibrated cost of one.
"""

import math
import random
from typing import Final

from ehrcore.block import Header
from ehrcore.consensus.work import Grind, grind
from ehrcore.crypto import MODELLED_NONCE, Crypto
from ehrcore.effects import Work

SLICE: Final = 4_096


class Miner:
    """One administrator's search.  ``contenders`` miners share ``cores``; fewer miners than cores share nothing.

    ``search`` (see `find_grinder`) is how nonces are really found, and changes nothing but how long that takes.
    """

    def __init__(self, seed: str, grind_ns: int, contenders: int, cores: int, search: Grind = grind) -> None:
        self._random, self._grind_ns, self._search = random.Random(seed), grind_ns, search
        self._pace = max(contenders, cores), cores
        self.generation = 0
        self._found: tuple[int, bytes] | None = None
        self._tries = self._started = 0
        self.total_tries = 0

    def start(self, work: Work, crypto: Crypto, now: int) -> int | None:
        """Replace the current search; how long the new one will take (ns), or None if there is none."""
        self._account(now)
        self.generation += 1
        self._found = None
        if work.header is None:
            return None
        if crypto.is_modelled:
            tries, nonce = self._draw(work.header.difficulty), MODELLED_NONCE
        else:
            tries, nonce = self._grind(work.header, crypto)
        self._tries, self._started, self._found = tries, now, (work.job, nonce)
        return self._duration(tries)

    def _draw(self, difficulty: int) -> int:
        if difficulty == 1:
            return 1
        return math.ceil(math.log1p(-self._random.random()) / math.log1p(-1 / difficulty)) or 1

    def _grind(self, header: Header, crypto: Crypto) -> tuple[int, bytes]:
        start = first = self._random.getrandbits(62)
        while (nonce := self._search(crypto.suite, header, start, SLICE)) is None:
            start += SLICE
        return int.from_bytes(nonce) - first + 1, nonce

    def _duration(self, tries: int) -> int:
        contenders, cores = self._pace
        return tries * self._grind_ns * contenders // cores

    def finish(self, generation: int) -> tuple[int, bytes] | None:
        """The result of search ``generation``, or None if another has replaced it."""
        if generation != self.generation or self._found is None:
            return None
        found, self._found = self._found, None
        self.total_tries += self._tries
        return found

    def _tries_so_far(self, now: int) -> int:
        if self._found is None:
            return 0
        whole = self._duration(self._tries)
        return self._tries * min(now - self._started, whole) // whole if whole else 0

    def _account(self, now: int) -> None:
        """Count the tries of a search that is being given up."""
        self.total_tries += self._tries_so_far(now)
        self._found = None

    def cpu_ns(self, now: int) -> int:
        """Processor time spent searching until ``now``."""
        return (self.total_tries + self._tries_so_far(now)) * self._grind_ns
