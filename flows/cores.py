"""Runs on this machine share its cores: a global concurrency limit of the Prefect server."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

__all__ = ["available", "cores", "limit", "limit_name"]


def available() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


def limit_name() -> str:
    """Return the name of this machine's limit."""
    return f"cores of {platform.node()}"


@contextmanager
def cores(wanted: int) -> Iterator[None]:
    """Hold some of this machine's cores, waiting until other runs have left them.

    The limit is made if it isn't there: as many as the machine has. Whoever wants to leave some
    free lowers it (`prefect gcl update`); more than the limit are never asked for, or it would be
    waited for without end. If the server is lost meanwhile, the work goes on.
    """
    most = limit() if wanted else 0
    if most == 0:  # switched off, or nothing is wanted
        yield
        return
    with concurrency(
        limit_name(),
        occupy=min(wanted, most),
        strict=True,
        raise_on_lease_renewal_failure=False,
    ):
        yield


def limit() -> int:
    """Return how many cores runs may hold together; makes the limit. 0: it is switched off."""
    with get_client(sync_client=True) as client:
        try:
            found = client.read_global_concurrency_limit_by_name(limit_name())
        except ObjectNotFound:
            try:
                client.create_global_concurrency_limit(
                    GlobalConcurrencyLimitCreate(name=limit_name(), limit=available())
                )
                return available()
            except ObjectAlreadyExists:  # another run was first
                found = client.read_global_concurrency_limit_by_name(limit_name())
    return found.limit if found.active else 0
