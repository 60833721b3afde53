"""Commands of `ehrbench` that have a module each."""
