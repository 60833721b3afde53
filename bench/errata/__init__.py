"""The paper's errata, each with a demonstration that computes what is printed and what is right."""
