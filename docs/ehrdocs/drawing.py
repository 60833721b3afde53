"""Pictures of the protocol and of the code, drawn at build as SVG in the page itself.

They take their colours and fonts from the site's style sheet, so they follow it into the dark, and their words from
the code: steps and messages from `ehrdocs.protocol`, the rules of proof of stake from the table that the machine runs.
"""

from collections.abc import Iterable
from html import escape
from typing import Final

from ehrcore.consensus.pos import RULES, Phase, Rule
from ehrdocs.protocol import ALIASES, ROLES, STEPS, Step

#: Room for a role's lifeline, and for one message.
_LANE, _LINE = 168, 46
#: Phase -> where the middle of its box is.
_PLACES: Final = {"IDLE": (90, 60), "PROPOSE": (90, 200), "PREVOTE": (420, 200), "PRECOMMIT": (750, 200)}


def make_sequence() -> str:
    """The messages of one transaction's life between the roles."""
    height = 96 + _LINE * len(STEPS)
    lanes = {role: _LANE // 2 + _LANE * index for index, role in enumerate(ROLES)}
    parts: list[str] = []
    for role, x in lanes.items():
        parts += [f'<line class="life" x1="{x}" y1="52" x2="{x}" y2="{height - 8}"/>', _box(x, 30, 140, 42)]
        parts += _words(x, 26, role.value) + _words(x, 42, ALIASES.get(role, ""), "small")
    for index, step in enumerate(STEPS):
        parts += _draw_step(step, lanes[step.sender], lanes[step.receiver], 96 + _LINE * index)
    title = "A transaction's way: visitor, agents, coordinators, administrators, contributors, and back as a receipt"
    return _figure(_LANE * len(ROLES), height, title, parts)


def make_states() -> str:
    """The phases of one height under proof of stake, and the rules that lead from one to the next."""
    parts = ['<rect class="group" x="12" y="120" width="876" height="202" rx="10"/>']
    parts += _words(150, 142, f"a round; in any phase: {_list(_any_phase())}", "small left")
    for name, (x, y) in _PLACES.items():
        parts += [_box(x, y, 120, 44), *_words(x, y + 5, name)]
    parts += [*_arrow(70, 82, 70, 178), *_words(62, 104, "start", "small right")]
    parts += [*_arrow(110, 178, 110, 82), *_words(118, 104, _list(_to(Phase.IDLE)), "small left")]
    for begin, end in ((Phase.PROPOSE, Phase.PREVOTE), (Phase.PREVOTE, Phase.PRECOMMIT)):
        (x1, y), (x2, _) = _PLACES[begin.name], _PLACES[end.name]
        parts += _arrow(x1 + 60, y, x2 - 60, y)
        rules = [rule for rule in RULES if rule.phases == (begin,) and rule.to is end]
        for index, rule in enumerate(rules):
            parts += _words((x1 + x2) // 2, y + 18 + 16 * index, _say(rule), "small")
    for phase in (Phase.PREVOTE, Phase.PRECOMMIT):
        x, y = _PLACES[phase.name]
        stays = [rule for rule in RULES if rule.phases == (phase,) and rule.to is None]
        parts += _words(x, y + 40, f"stays: {_list(stays)}" if stays else "", "small")
    parts += ['<path class="arrow" d="M 802 222 L 802 296 L 90 296 L 90 224" marker-end="url(#head)"/>']
    parts += _words(446, 312, f"a later round: {_list(_to(Phase.PROPOSE))}", "small")
    return _figure(900, 330, "Proof of stake: the phases of a height", parts)


def make_layers() -> str:
    """The layers of the code, and the one direction in which they import."""
    rows = (
        ("paper/", "claims with their rules, errata, the text of the PDF: reads results, measures nothing"),
        ("results/", "runs: a manifest, raw rows, and all that is derived from them"),
        ("bench", "scenario → experiments → engines → record → analysis → report, joined by files alone"),
        (
            "ehrcore.drive · faults · cli",
            "thin drivers: simulator, real nodes, faults, commands; clocks and I/O",
        ),
        ("events in ⟶ effects out", "the seam: a role is handed an event and the time, and returns what has to happen"),
        ("ehrcore.roles · consensus", "state machines: five roles, four rules of agreement"),
        ("block · state · identity · consent", "pure rules: what is valid, who may do what"),
        ("codec · hashing · signing · merkle", "primitives: one canonical byte form, digests, signatures, trees"),
    )
    parts: list[str] = []
    for index, (name, text) in enumerate(rows):
        y = 36 + 62 * index
        kind = "seam" if "⟶" in name else "box"
        parts += [f'<rect class="{kind}" x="20" y="{y - 24}" width="820" height="48" rx="8"/>']
        parts += _words(34, y - 3, name, "left strong") + _words(34, y + 15, text, "small left")
    parts += _arrow(862, 40, 862, 62 * len(rows) - 10)
    parts += ['<text class="small" transform="translate(882 250) rotate(90)">imports go down, never up</text>']
    return _figure(900, 20 + 62 * len(rows), "The layers of the code", parts)


def _draw_step(step: Step, x1: int, x2: int, y: int) -> list[str]:
    kind = "arrow refusal" if step.is_refusal else "arrow"
    label = f"{step.step}  {step.message.__name__}"
    if x1 == x2:
        line = f'<path class="{kind}" d="M {x1} {y} h 46 v 18 h -42" marker-end="url(#head)"/>'
        return [line, *_words(x1 + 52, y + 4, label, "left"), *_words(x1 + 52, y + 20, "to each other", "small left")]
    middle = (x1 + x2) // 2
    return [*_arrow(x1, y, x2 + (4 if x2 < x1 else -4), y, kind), *_words(middle, y - 7, label, "halo")]


def _any_phase() -> list[Rule]:
    return [rule for rule in RULES if len(rule.phases) > 1 and rule.to is None]


def _to(phase: Phase) -> list[Rule]:
    return [rule for rule in RULES if rule.to is phase]


def _say(rule: Rule) -> str:
    return f"{rule.name} (time-out)" if rule.timer else rule.name


def _list(rules: Iterable[Rule]) -> str:
    return ", ".join(map(_say, rules))


def _box(x: int, y: int, width: int, height: int) -> str:
    return f'<rect class="box" x="{x - width // 2}" y="{y - height // 2}" width="{width}" height="{height}" rx="7"/>'


def _words(x: int, y: int, text: str, kind: str = "") -> list[str]:
    return [f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'] if text else []


def _arrow(x1: int, y1: int, x2: int, y2: int, kind: str = "arrow") -> list[str]:
    return [f'<line class="{kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" marker-end="url(#head)"/>']


def _figure(width: int, height: int, title: str, parts: list[str]) -> str:
    """A block of HTML without empty lines, which Markdown takes as it is."""
    head = '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    return "\n".join((
        '<figure class="drawn">',
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f'<title>{escape(title)}</title><defs>{head}<path class="head" d="M 0 0 L 8 4 L 0 8 z"/></marker></defs>',
        *parts, "</svg>", "</figure>",
    ))  # fmt: skip
