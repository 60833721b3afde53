"""Orders of the authority on a running network, and what is no order."""

import pytest

from ehrcore.ledger import SqliteLedger


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("bond", "agent-0", "1"), "NAME: expected an administrator, found 'agent-0'"),
        (("bond", "administrator-0", "0"), "STAKE: expected 1 to 9007199254740991, found 0"),
        (("revoke", "administrator-0"), "NAME: expected a node that is no administrator, found 'administrator-0'"),
        (("revoke", "nobody"), "NAME: expected a node that is no administrator, found 'nobody'"),
        (("bond", "administrator-0"), "the following arguments are required: STAKE"),
        (("bond", "administrator-0", "much"), "argument STAKE: invalid int value: 'much'"),
    ],
)
def test_what_is_no_order_is_told_in_one_line(run, tmp_path, words, told) -> None:
    folder = tmp_path / "network"
    assert run("network", "init", "--folder", folder).code in {0, None}
    done = run("order", words[0], "--folder", folder, *words[1:])
    assert done.code == 2
    assert told in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.slow
def test_stake_and_certificates_change_as_ordered(started, process, records) -> None:
    folder = started("--administrators", "2")
    bond = process("order", "bond", "administrator-1", "3", "--folder", folder)
    assert (bond.code, bond.out.split()[-1]) == (0, "valid"), bond.err
    too_much = process("order", "unbond", "administrator-1", "9", "--folder", folder)
    assert (too_much.code, too_much.out.split()[-1]) == (1, "no-such-stake")
    assert process("submit", records[0], "--folder", folder).code == 0
    assert process("order", "revoke", "visitor-0", "--folder", folder).code == 0
    assert process("submit", records[1], "--folder", folder).code == 1
    tx_id = process("audit", "--folder", folder)
    assert tx_id.code == 0, tx_id.err
    assert process("network", "down", "--folder", folder).code == 0
    with SqliteLedger.open(folder / "nodes" / "contributor-0" / "ledger.sqlite") as ledger:
        voters = {member.node: member.stake for member in ledger.verify().validators.members}
    assert voters == {"administrator-0": 1, "administrator-1": 4}
