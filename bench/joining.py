"""Several runs for pandas: frames one below the other, with a column that names the run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.loading import Frames, Run, load, refuse_name

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Runs:
    """Several runs, by the names that column ``run`` gives them, first in every frame."""

    runs: Mapping[str, Run]

    def __repr__(self) -> str:
        return f"Runs({', '.join(self.runs)})"

    @property
    def tables(self) -> Frames:
        """The tables that any of the runs has; of a run without it there are no rows."""
        names = dict.fromkeys(name for run in self.runs.values() for name in run.tables)
        return Frames(tuple(names), lambda name: self._join(lambda run: run.tables.get(name)))

    def raw(self, experiment: str) -> "pd.DataFrame":
        """The raw rows of an experiment, of every run that has it."""
        known = dict.fromkeys(name for run in self.runs.values() for name in run.experiments)
        if experiment not in known:
            raise refuse_name("experiment", experiment, known)
        return self._join(lambda run: run.raw(experiment) if experiment in run.experiments else None)

    @property
    def claims(self) -> "pd.DataFrame":
        return self._join(lambda run: run.claims)

    @property
    def evidence(self) -> "pd.DataFrame":
        return self._join(lambda run: run.evidence)

    def _join(self, read: Callable[[Run], "pd.DataFrame | None"]) -> "pd.DataFrame":
        """The frames one below the other; `BenchError` if they do not mean the same by a column."""
        import pandas as pd

        frames = {label: frame for label, run in self.runs.items() if (frame := read(run)) is not None}
        attrs: dict[Any, Any] = next(iter(frames.values())).attrs
        for label, frame in frames.items():
            theirs, ours = frame.attrs.get("units", {}), attrs.get("units", {})
            unlike = [name for name in frame if name in ours and theirs.get(name, "") != ours[name]]
            if unlike:
                found = f"{theirs.get(unlike[0], 'none')!r} in {label}"
                raise BenchError(f"{unlike[0]}: expected the unit {ours[unlike[0]]!r} in all runs, found {found}")
            attrs = {**frame.attrs, **attrs, **({"units": {**theirs, **ours}} if "units" in frame.attrs else {})}
            frame.attrs = {}
            frame.insert(0, "run", label)
        joined = pd.concat(frames.values(), ignore_index=True)
        joined.attrs = attrs
        return joined


def load_all(folders: Iterable[str | PathLike[str]] | Mapping[str, str | PathLike[str]], *, check: bool = True) -> Runs:
    """Several runs, at least one; frames have a column ``run`` with the folder's name, or with the mapping's keys.

    Raises `BenchError` as `load` does, and for two runs of one name.
    """
    if isinstance(folders, Mapping) and folders:
        return Runs({str(name): load(folder, check=check) for name, folder in folders.items()})
    if isinstance(folders, str):
        raise BenchError(f"runs: expected several folders, found one text: {folders!r}")
    runs = [load(folder, check=check) for folder in folders]
    names = [run.folder.resolve().name for run in runs]
    if not names or len(set(names)) < len(names):
        found = ", ".join(names) or "none"
        raise BenchError(f"runs: expected folders of different names, or a mapping from names to them, found {found}")
    return Runs(dict(zip(names, runs, strict=True)))
