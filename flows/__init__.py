"""Prefect flows over the stages of `pipeline`. Importing it asks Prefect not to phone home."""

import os

# Prefect reads these when it is first imported.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
