"""Short paths through features: samples that follow each other should be alike.

    features ─► grid or sketch ─► neighbours ─► fragments ─► improve ─► path

Up to 10,000 samples the paper's greedy walk is as quick; beyond, the path is built
near-linearly. docs/sorting.md has the figures.
"""

from pipeline.ordering.greedy import greedy, grouped
from pipeline.ordering.nearest import nearest
from pipeline.ordering.sketch import Sketch
from pipeline.ordering.sort import path_length, sort_features

__all__ = ["Sketch", "greedy", "grouped", "nearest", "path_length", "sort_features"]
