"""The commands of `ehrcore`, one module per group; each is imported when it is called, for a quick start."""
