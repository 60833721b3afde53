"""The commands of `ehrbench`, a module each."""
