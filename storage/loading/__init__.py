"""Data sets as others take them: packed, for PyTorch, Dask, xarray and neuraloperator.

Each module is imported when it is asked for: they load what their users have anyway.
"""
