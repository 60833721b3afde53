"""What makes a block final under each rule, as everyone who receives one checks it."""

from collections.abc import Sequence

from ehrcore.block import (
    CommitBody,
    CommitCertificate,
    Header,
    LeaderCertificate,
    OrdererCertificate,
    StakeCertificate,
    VoteBody,
    WorkCertificate,
)
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.consensus.work import has_work, least_difficulty, next_difficulty
from ehrcore.crypto import Crypto
from ehrcore.errors import ValidationError
from ehrcore.params import ChainParams, ConsensusRule

PRECOMMIT = 2


def header_hash(crypto: Crypto, header: Header) -> bytes:
    """The block's hash."""
    return crypto.hash_struct(header)


def verify_certificate(
    crypto: Crypto,
    params: ChainParams,
    validators: ValidatorSet,
    header: Header,
    block_hash: bytes,
    certificate: CommitCertificate,
    recent: Sequence[Header] | None = (),
) -> None:
    """Raise `ValidationError` unless ``certificate`` makes ``header`` final under the chain's rule.

    ``recent`` holds the final headers before this one, oldest first, as far back as the retarget window;
    None if the caller does not know them: then a difficulty is checked against the least that the rule allows.
    """
    rule = params.family
    if rule is ConsensusRule.PROOF_OF_STAKE and isinstance(certificate, StakeCertificate):
        _verify_stake(crypto, validators, header, block_hash, certificate)
    elif rule is ConsensusRule.SINGLE_ORDERER and isinstance(certificate, OrdererCertificate):
        _verify_orderer(crypto, validators, header, certificate)
    elif rule is ConsensusRule.LEADER and isinstance(certificate, LeaderCertificate):
        _verify_leader(crypto, validators, header, block_hash, certificate)
    elif rule is ConsensusRule.PROOF_OF_WORK and isinstance(certificate, WorkCertificate):
        _verify_work(crypto, params, header, certificate, recent)
    else:
        found = type(certificate).__name__
        raise ValidationError("certificate", f"expected one for rule {rule.value}, found {found}")


def _verify_stake(
    crypto: Crypto, validators: ValidatorSet, header: Header, block_hash: bytes, certificate: StakeCertificate
) -> None:
    body = VoteBody(header.chain, header.height, certificate.round, PRECOMMIT, block_hash)
    stake, seen = 0, set()
    for vote in certificate.votes:
        member = validators.find(vote.node)
        if member is None or vote.node in seen:
            raise ValidationError("certificate", f"expected distinct administrators, found {vote.node}")
        if not crypto.verify(member.public_key, body, vote.signature):
            raise ValidationError("certificate", f"expected the precommit of {vote.node}, found another signature")
        seen.add(vote.node)
        stake += member.stake
    if not validators.is_quorum(stake):
        total = validators.total_stake
        raise ValidationError("certificate", f"expected more than two thirds of stake {total}, found {stake}")


def _verify_orderer(crypto: Crypto, validators: ValidatorSet, header: Header, certificate: OrdererCertificate) -> None:
    orderer = validators.members[0]
    if header.proposer != orderer.node:
        raise ValidationError("certificate", f"expected the orderer {orderer.node}, found {header.proposer}")
    if not crypto.verify(orderer.public_key, header, certificate.signature):
        raise ValidationError("certificate", f"expected the signature of {orderer.node}, found another")


def _verify_leader(
    crypto: Crypto, validators: ValidatorSet, header: Header, block_hash: bytes, certificate: LeaderCertificate
) -> None:
    """Any administrator's word is enough: that it was elected, and that a majority has the block, is believed."""
    leader = validators.find(certificate.leader)
    if leader is None:
        raise ValidationError("certificate", f"expected an administrator, found {certificate.leader}")
    body = CommitBody(header.chain, header.height, certificate.term, block_hash)
    if not crypto.verify(leader.public_key, body, certificate.signature):
        raise ValidationError("certificate", f"expected the signature of {leader.node}, found another")


def _verify_work(
    crypto: Crypto, params: ChainParams, header: Header, certificate: WorkCertificate, recent: Sequence[Header] | None
) -> None:
    needed = params.work.confirmations
    if len(certificate.successors) != needed:
        raise ValidationError("certificate", f"expected {needed} successors, found {len(certificate.successors)}")
    chain = [*(recent or ()), header]
    check_work(crypto, params, header, recent)
    for successor in certificate.successors:
        parent = chain[-1]
        linked = successor.height == parent.height + 1 and successor.previous == header_hash(crypto, parent)
        if successor.chain != header.chain or not linked:
            raise ValidationError("certificate", f"expected a successor of block {parent.height}, found another")
        check_work(crypto, params, successor, chain if recent is not None else None)
        chain.append(successor)


def check_work(crypto: Crypto, params: ChainParams, header: Header, recent: Sequence[Header] | None) -> None:
    """Raise unless ``header`` has the difficulty that the rule asks for and the work to show for it."""
    rule, found = params.work, header.difficulty
    if recent is not None and found != (difficulty := next_difficulty(rule, recent)):
        raise ValidationError("difficulty", f"expected {difficulty}, found {found}")
    if recent is None and found < (difficulty := least_difficulty(rule, header.height)):
        raise ValidationError("difficulty", f"expected at least {difficulty}, found {found}")
    if not has_work(crypto, header):
        raise ValidationError("work", f"expected a hash below the target of difficulty {found}, found another")
