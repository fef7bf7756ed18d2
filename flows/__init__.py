"""Prefect flows over the stages of `pipeline`.

Importing it asks Prefect not to phone home, and Dask to say no more than warnings.
"""

import os

# They read these when they are first imported.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "warning")
