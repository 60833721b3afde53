"""Progress on standard error: a bar where somebody watches, plain lines where nobody does."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.sitting import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class PlainProgress:
    """One line when an experiment begins, one when it ends."""

    def __init__(self) -> None:
        self._left, self._name, self._begin = 0, "", 0.0

    def say(self, line: str) -> None:
        """See `Progress.say`.  Where nobody can listen any more, the run goes on in silence."""
        try:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
        except OSError:
            sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it stays open

    def begin(self, experiment: str, cases: int) -> None:
        """See `Progress.begin`."""
        self._left, self._name, self._begin = cases, experiment, time.monotonic()
        self.say(f"{experiment}: {cases} case{'s' if cases != 1 else ''} ...")

    def step(self, label: str) -> None:
        """See `Progress.step`."""
        del label
        self._left -= 1
        if self._left == 0:
            self.say(f"{self._name}: done in {time.monotonic() - self._begin:.1f} s")


class BarProgress:
    """A bar per experiment."""

    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def say(self, line: str) -> None:
        """See `Progress.say`."""
        self._bars.console.print(line, markup=False, highlight=False)

    def begin(self, experiment: str, cases: int) -> None:
        """See `Progress.begin`."""
        self._task = self._bars.add_task(experiment, total=cases, label="")

    def step(self, label: str) -> None:
        """See `Progress.step`."""
        if self._task is not None:
            self._bars.update(self._task, advance=1, label=label)


@contextmanager
def watch_progress() -> Iterator[Progress]:
    """Progress for the time of a run."""
    if not sys.stderr.isatty():
        yield PlainProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[label]}"),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield BarProgress(bars)
