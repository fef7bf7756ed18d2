"""Problem families: each file states a PDE, draws its inputs and assembles its systems."""
