"""The experiments and profiles by name; nothing heavy is imported to list them."""

from typing import Final

#: Experiment id -> what it asks; the order is that of reports.  Each lives in the module of its name.
QUESTIONS: Final[dict[str, str]] = {
    "framework": "Do records go through all five roles into a ledger that verifies, the same way twice?",
    "table1": "Do the paper's 18 configurations rank and behave as its Table 1 says?",
    "variants": "What do proof of stake and SHA-256 cost against proof of work, SHA-1, MD5 and no agreement?",
    "policy": "What does it save to ask fewer agents and coordinators of as many, and what does it stand?",
    "latency": "What does a stall do to latency, and who notices?",
    "load": "What does a real network commit as more is offered, and what holds it back?",
    "agree": "Does the simulator predict what real networks on this machine do?",
    "faults": "What do crashes, pauses, partitions and lies cost, and where is the limit?",
    "tamper": "What becomes of ledgers and stores that somebody changes, and what finds it?",
    "collisions": "What do published collisions do to ids, signatures and records, and what hides or stops them?",
    "privacy": "Who finds the patient behind a pseudonym, a visit, or a record without a name?",
    "storage": "What do nodes keep of a growing chain, and what does it take to restart, prune and prove?",
    "identity": "Who can act as whom, and what stops everyone else?",
    "abuse": "What do floods, slow clients and bombs do to an honest visitor, and what holds them back?",
    "hashes": "What does a hash cost, by function, size and library?",
    "signatures": "What do signing, verifying and loading a key cost, by curve and library?",
    "merkle": "What do Merkle trees and their proofs cost, beside a flat hash and in other libraries?",
    "harness": "Does the measuring engine find what is planted, and nothing else?",
    "energy": "What do hashing and signing cost in energy?",
    "study": "How often is the measuring engine's interval right?",
    "limits": "How near does this implementation come to what the machine could do?",
}
#: Profile -> what it is for.
PROFILES: Final = {
    "smoke": "a minute or two, for continuous integration",
    "quick": "under ten minutes, the default",
    "paper": "about an hour on two cores, for publication",
}
