"""What attackers do to ledgers, stores and digests: tools of the experiments `tamper` and `collisions`."""
