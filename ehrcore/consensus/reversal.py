"""How final a block under proof of work is: the probability that a secret branch overtakes it.

An attacker with a share q of the hash power mines beside the others, who hold p = 1 - q, and publishes its branch once
that is the longer one.  Blocks come as independent trials that it wins with probability q (equal difficulty on both
branches, no delay, nobody rests).  ``confirmations`` counts the block itself, as Rosenfeld does: a block under k
successors (`WorkRule.confirmations`) has k + 1.  By his convention the attacker has one block when the race begins.

M. Rosenfeld, "Analysis of hashrate-based double-spending", arXiv:1402.2009 (2014).  What no formula here covers: an
attacker that has mined on while an idle network rested, or a victim that hears the attacker alone.  An administrator or
ledger keeper that holds a block final keeps it, whatever it hears later.
"""

import math

from ehrcore.errors import ParameterError
from ehrcore.params import WorkRule
from ehrcore.types import require_count

#: Shares of the hash power that a report states the risk at, if nothing else is asked for.
SHARES = (0.1, 0.2, 0.3, 0.4, 0.45)


def reversal_probability(share: float, confirmations: int) -> float:
    """Probability (Rosenfeld, equation 1) that a block with so many confirmations is ever reversed; exact.

    His 1 - sum over m = 0..n of C(m+n-1, m) (p^n q^m - p^m q^n) equals P(B >= n) + P(B > n) for B wins of the attacker
    among 2n blocks: only positive terms, so that no digit of a small risk cancels.  1 from half the power on.
    """
    _check(share, confirmations)
    if share * 2 >= 1 or confirmations == 0:
        return 1.0
    if share == 0:
        return 0.0
    n, odds = confirmations, share / (1 - share)
    # The middle term of the binomial, C(2n, n) (pq)^n; each further one follows from the one before.
    term = math.exp(math.lgamma(2 * n + 1) - 2 * math.lgamma(n + 1) + n * (math.log(share) + math.log1p(-share)))
    terms = [term]
    for wins in range(n, 2 * n):
        term *= odds * (2 * n - wins) / (wins + 1)
        terms += (term, term)
    return min(math.fsum(terms), 1.0)


def confirmations_for(share: float, risk: float) -> int:
    """The fewest confirmations under which a block is reversed with probability ``risk`` (0 < risk) at most.

    `ParameterError` for half the power or more, which no number of confirmations withstands.
    """
    _check(share, 0)
    if share * 2 >= 1 or risk <= 0:
        raise ParameterError(f"confirmations: expected a share below 1/2 and a risk above 0, found {share} and {risk}")
    high = 1
    while reversal_probability(share, high) > risk:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reversal_probability(share, middle) <= risk else (middle, high)
    return high if reversal_probability(share, low) > risk else low


def rule_risk(rule: WorkRule, share: float) -> float:
    """Probability that a block which ``rule`` calls final is reversed by an attacker with this share of the power."""
    return reversal_probability(share, rule.confirmations + 1)


def _check(share: float, confirmations: int) -> None:
    if not 0 <= share <= 1:
        raise ParameterError(f"share of the hash power: expected 0 to 1, found {share}")
    require_count("confirmations", confirmations, 0)
