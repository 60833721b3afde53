"""What a user of the suite can get wrong: one clear line, exit code 2."""


class BenchError(Exception):
    """Bad input to the suite: the message names the thing, what was expected and what was found."""
