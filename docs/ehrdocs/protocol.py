"""The protocol as tables: who says what to whom, what each message holds, and what a chain is founded with."""

import ast
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec

from ehrcore import messages
from ehrcore.drive.net.web.problems import REASONS
from ehrcore.messages import Approve, Endorse, Finalised, Propose, Receipt, Refused, Submit, Vote
from ehrcore.params import ChainParams, Limits, StakeRule, WorkRule
from ehrcore.types import Role
from ehrdocs.markdown import code, table
from ehrdocs.source import docstring_of, find_class, link_to, list_fields, path_of, read_module

#: The paper's own names where its section 4 has others (E35).
ALIASES: Final = {Role.AGENT: "authoritative", Role.ADMINISTRATOR: "ordering"}
ROLES: Final = (Role.VISITOR, Role.AGENT, Role.COORDINATOR, Role.ADMINISTRATOR, Role.CONTRIBUTOR)


@dataclass(frozen=True, slots=True)
class Step:
    """One message on its way: the paper's step, from whom to whom, and what it means there."""

    step: int
    sender: Role
    receiver: Role
    message: type[msgspec.Struct]
    note: str
    is_refusal: bool = False


#: The life of one transaction under proof of stake, and what becomes of one that is refused; a test holds it against
#: what simulated nodes really send.
STEPS: Final = (
    Step(1, Role.VISITOR, Role.AGENT, Submit, "to every agent: signed, with the digest of the stored object"),
    Step(1, Role.AGENT, Role.VISITOR, Refused, "why the agent refuses it", is_refusal=True),
    Step(1, Role.AGENT, Role.COORDINATOR, Endorse, "to every coordinator: 'A' or 'R', signed"),
    Step(2, Role.COORDINATOR, Role.VISITOR, Refused, "why contracts or rights refuse it", is_refusal=True),
    Step(2, Role.COORDINATOR, Role.AGENT, Refused, "to those that endorsed it: it ends here", is_refusal=True),
    Step(2, Role.COORDINATOR, Role.ADMINISTRATOR, Approve, "to every administrator, with m endorsements"),
    Step(3, Role.ADMINISTRATOR, Role.ADMINISTRATOR, Propose, "the proposer's block of this round"),
    Step(3, Role.ADMINISTRATOR, Role.ADMINISTRATOR, Vote, "prevote, then precommit, of each"),
    Step(4, Role.ADMINISTRATOR, Role.COORDINATOR, Finalised, "block and certificate: validated once more"),
    Step(4, Role.ADMINISTRATOR, Role.CONTRIBUTOR, Finalised, "the same: validated, then kept"),
    Step(4, Role.CONTRIBUTOR, Role.VISITOR, Receipt, "the proof that it is in a final block"),
)  # fmt: skip


def make_steps() -> str:
    """The messages of a transaction's life, in their order."""
    rows = [
        (each.step, _name(each.sender), _name(each.receiver), _link(each.message), each.note + _mark(each))
        for each in STEPS
    ]
    return table(("step", "from", "to", "message", "what it is"), rows)


def make_roles() -> str:
    """The five roles by all of their names, with what each says of itself in the code."""
    rows = []
    for role in ROLES:
        module = f"ehrcore.roles.{role.value}"
        about = docstring_of(read_module(module)).partition("\n\n")[0]
        rows.append(
            (f"**{role.value}**", ALIASES.get(role, "the same"), f"[`{role.value}.py`]({link_to(module)})", about)
        )
    return table(("here, and in section 3", "in section 4 and Table 1", "code", "what it does"), rows)


def make_messages() -> str:
    """Every message on the wire, with what it says of itself and its fields."""
    names = [each.__name__ for each in _classes(messages) if each.__struct_config__.tag]
    return _describe("ehrcore.messages", names)


def make_blocks() -> str:
    """What transactions, blocks and certificates hold."""
    names = [node.name for node in read_module("ehrcore.block").body if isinstance(node, ast.ClassDef)]
    structs = [name for name in names if _is_struct("ehrcore.block", name)]
    return _describe("ehrcore.block", structs)


def make_seam() -> str:
    """Events that go into a role and effects that come out, from the seam itself."""
    names = [node.name for node in read_module("ehrcore.effects").body if isinstance(node, ast.ClassDef)]
    return _describe("ehrcore.effects", [name for name in names if _is_struct("ehrcore.effects", name)])


def make_parameters() -> str:
    """All that the nodes of a chain agree on before it starts, with defaults as the code writes them."""
    parts: list[str] = []
    for struct in (ChainParams, Limits, StakeRule, WorkRule):
        kinds = list_fields("ehrcore.params", struct.__name__)
        rows = [
            (code(field.name), code(kinds[field.name]), _default(struct, field))
            for field in msgspec.structs.fields(struct)
            if not isinstance(field.default, msgspec.Struct)
        ]
        about = docstring_of(find_class("ehrcore.params", struct.__name__))
        parts += [f"### `{struct.__name__}`", about, table(("parameter", "type", "default"), rows)]
    return "\n\n".join(parts)


def make_reasons() -> str:
    """Every reason for which a transaction or a word is refused, in words and as nodes answer it over HTTP."""
    late = path_of("ehrcore.identity").read_text(encoding="utf-8").partition("ledger keepers alone")[2]
    rows = []
    for reason, (status, words) in REASONS.items():
        finder = "ledger keepers, at its place in the block" if f"    {reason.name} =" in late else "whoever checks it"
        rows.append((code(reason.value), words, finder, status))
    return table(("reason", "in words", "found by", "HTTP"), rows)


def _name(role: Role) -> str:
    return f"{role.value} ({ALIASES[role]})" if role in ALIASES else role.value


def _mark(step: Step) -> str:
    return " (only if it is refused)" if step.is_refusal else ""


def _link(message: type[Any]) -> str:
    module, name = message.__module__, message.__name__
    return f"[`{name}`]({link_to(module, find_class(module, name).lineno)})"


def _classes(module: Any) -> list[type[msgspec.Struct]]:
    names = [node.name for node in read_module(module.__name__).body if isinstance(node, ast.ClassDef)]
    return [getattr(module, name) for name in names]


def _is_struct(module: str, name: str) -> bool:
    return any(ast.unparse(base) == "msgspec.Struct" for base in find_class(module, name).bases)


def _describe(module: str, names: list[str]) -> str:
    rows = []
    for name in names:
        node = find_class(module, name)
        fields = ", ".join(f"`{field}: {kind}`" for field, kind in list_fields(module, name).items())
        rows.append((f"[`{name}`]({link_to(module, node.lineno)})", docstring_of(node), fields or "–"))
    return table(("name", "what it is", "fields"), rows)


def _default(struct: type[msgspec.Struct], field: msgspec.structs.FieldInfo) -> str:
    """A default as the code writes it, which for times is readable and the number is not."""
    if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return "to be given"
    for node in find_class("ehrcore.params", struct.__name__).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == field.name and node.value is not None:
            is_word = isinstance(field.default, StrEnum)
            return code(repr(field.default.value) if is_word else ast.unparse(node.value))
    return code(field.default)
