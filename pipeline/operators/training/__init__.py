"""Fitting: data, losses, the loop, checkpoints, tracking."""
