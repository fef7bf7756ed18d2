"""Randomised cycles of kill and restart: every sample is there once and verified at the end."""

import json
import os
import random
from pathlib import Path

import pytest
from killing import CASES, COMMANDS, Campaign, table

SEED = 20261129
QUICK = ["run", "run, two ranks", "mpiexec"]


@pytest.mark.timeout(240)
def test_five_cycles(rekrylov, undisturbed, tmp_path):
    """In the first third of the time of a run that compiles, too: all hit it at work."""
    root, seconds = undisturbed
    campaign = Campaign(rekrylov, "quick", tmp_path, QUICK, SEED, (root, seconds / 3))
    while campaign.kills < 5:
        campaign.one_dataset(kills=5 - campaign.kills)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_hundred_cycles(rekrylov, tmp_path):
    """With KILL_CYCLES=<file> what was done is kept as JSON; SEED=<number> takes another seed."""
    seed = int(os.environ.get("SEED", SEED))
    rng, campaigns = random.Random(seed), []
    for case in list(CASES)[1:]:
        campaign = Campaign(rekrylov, case, tmp_path / case, list(COMMANDS), seed)
        campaigns.append(campaign)
        while campaign.kills < 22:
            campaign.one_dataset(kills=rng.randrange(4, 10))
        keep(campaigns)
    assert sum(each.kills for each in campaigns) >= 100


def keep(campaigns):
    """Write the JSON that was asked for."""
    rows, cycles = table(campaigns)
    if path := os.environ.get("KILL_CYCLES"):
        found = {"seed": campaigns[0].seed, "rows": rows, "cycles": cycles}
        Path(path).write_text(json.dumps(found, indent=1) + "\n")
