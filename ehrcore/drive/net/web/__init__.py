"""What a node answers over HTTP: frames of its peers, transactions, questions about the chain, and a page."""
