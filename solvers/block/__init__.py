"""Blocks of similar systems, iterated or factorised together: one system in each vector lane."""
