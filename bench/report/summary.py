"""The environment of a run in words: groups of (label, text) pairs that the page and the Markdown file share."""

from collections.abc import Mapping
from typing import Any, Final

from bench.report.load import Manifest
from bench.report.tables import format_value

Group = tuple[str, list[tuple[str, str]]]

#: Printed in every report: what the words of the captions mean.
HOW_TO_READ: Final = (
    "Every caption says where its numbers come from. Measured: real work was done on this machine and real clocks "
    "were read. Simulated: the same roles ran in virtual time over modelled links; the work they did is counted and "
    "priced at unit costs that were measured on this machine in the same run. Calibrated: some constants were fitted "
    "to figures that the paper prints, so agreement with those figures is not evidence by itself. Estimated: computed "
    "from a measured quantity and a stated assumption, as energy is from CPU seconds and a range of watts. "
    "Comparisons were measured in turns, in fresh processes or repeats that count once each; 'faster' and 'slower' "
    "mean that the simultaneous 95 % interval excludes 1 and that the effect is at least 2 %; 'unresolved' does not "
    "mean equal. A variant ten times as slow as its base has epochs ten times as long, in which more interruptions "
    "fall: such a ratio may come out about 1 % high. An A/A control is the base measured against itself; a table whose "
    "control excludes 1 is flagged in its caption. "
    "A missing value is a dash, never a zero. Rows that are not ok (failed, timeout, void, skipped) are listed with "
    "their experiment and enter no table."
)
FILES: Final = (
    "Beside this file stand the raw observations (raw/, one JSON object a line), the tables (tables/, as "
    "CSV with nine digits of each fraction, and what tells of them as LaTeX), the figures (figures/, SVG, PNG and PDF) "
    "and manifest.json, which records the environment."
)
#: A larger object (every installed package, say) is one entry, and of a longer list only the beginning is shown.
_FEW: Final = 12
_LIST_LIMIT: Final = 50
_BANNERS: Final = {
    "running": "This run has not ended: the report shows what was recorded so far.",
    "interrupted": "This run was interrupted: the report shows what was recorded until then.",
    "failed": "This run failed: the report shows what was recorded until then.",
}


def banner_of(manifest: Manifest) -> str:
    """What a reader must know first of a run that is not complete; '' for one that is."""
    return _BANNERS.get(manifest.status, "")


def describe_environment(manifest: Manifest) -> list[Group]:
    """Groups of labels and texts that stand in full: what the run was and what it ran on."""
    run = {
        "id": manifest.run_id,
        "status": manifest.status,
        "profile": manifest.profile,
        "seed": manifest.seed,
        "started": format_time(manifest.started),
        "finished": format_time(manifest.finished or ""),
    }
    groups = {
        "Run": run,
        "Workload": manifest.workload,
        "Machine": manifest.machine,
        "Noise": manifest.noise,
        "Versions": manifest.versions,
        "Source code": manifest.git,
    }
    return [(title, flatten(values)) for title, values in groups.items() if values]


def describe_details(manifest: Manifest) -> list[Group]:
    """Long groups that few will read: the unit costs of simulations, and every value of the scenario."""
    groups = {"Unit costs of simulations": manifest.calibration, "Scenario": _spell_empty(manifest.scenario)}
    return [(title, flatten(values)) for title, values in groups.items() if values]


def _spell_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """An empty list of a scenario, which may mean all as well as none, as what it is."""
    return {
        key: _spell_empty(value) if isinstance(value, Mapping) else "empty list" if value == [] else value
        for key, value in values.items()
    }


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as (label, text), labels joined by a space; sizes in bytes are given in binary units.

    An object of a list goes by its first value: ``kinds: [{kind: bill, count: 51}]`` is (kinds bill, count 51).
    """
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        label = f"{prefix} {key}".replace("_", " ").strip()
        if isinstance(value, Mapping) and len(value) <= _FEW:
            pairs += flatten(value, label)
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) and item for item in value):
            pairs += [_name_item(label, item) for item in value[:_LIST_LIMIT]]
            pairs += [(label, _count_rest(value))] if len(value) > _LIST_LIMIT else []
        elif label.endswith(" bytes") and isinstance(value, int):
            pairs.append((label.removesuffix(" bytes"), format_bytes(value)))
        else:
            pairs.append((label, format_plain(value)))
    return pairs


def _name_item(label: str, item: Mapping[str, Any]) -> tuple[str, str]:
    first, *others = flatten(item)
    return f"{label} {first[1]}", ", ".join(f"{name} {text}" for name, text in others)


def _count_rest(values: list[Any]) -> str:
    return f"and {len(values) - _LIST_LIMIT} more"


def format_plain(value: Any) -> str:
    """A JSON value as text on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{label} {text}" for label, text in flatten(value)) or "none"
    if isinstance(value, list):
        rest = [_count_rest(value)] if len(value) > _LIST_LIMIT else []
        return ", ".join([format_plain(item) for item in value[:_LIST_LIMIT]] + rest) or "none"
    return format_value(value if value != "" else None)


def format_bytes(size: float) -> str:
    """A size in bytes: exact below a KiB, with three digits and a binary unit from there on."""
    if abs(size) < 1024:
        return f"{size:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if abs(size) < 1024:
            return f"{format_value(size, '.3g')} {unit}"
    return f"{format_value(size / 1024, '.3g')} TiB"


def format_time(iso: str) -> str:
    """An instant of the manifest (ISO 8601, UTC) as people write it."""
    return iso.replace("T", " ").replace("+00:00", " UTC")


def format_duration(seconds: float) -> str:
    """A time that a person waited."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
