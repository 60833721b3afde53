"""The benchmark suite around `ehrcore`."""
