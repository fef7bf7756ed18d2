"""Every kind of damage of the suite is found, and named by its code."""

import shutil

import pytest
from corruptions import DAMAGES, SPECS, codes, sound_sets

from pipeline import stages
from storage import DataFolder


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return sound_sets(tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("kind", ["darcy", "lifted", "heat"])
def test_sound_data_sets_have_no_findings(sound, kind):
    result = stages.check(None, DataFolder(sound[kind]), full=True)
    assert result.findings == [] and result.recomputed == SPECS[kind]["samples"]


def test_there_are_many_kinds():
    assert len(DAMAGES) >= 30 and len({damage.code for damage in DAMAGES.values()}) >= 30


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_named(sound, tmp_path, name):
    damage = DAMAGES[name]
    place = shutil.copytree(sound[damage.kind], tmp_path / sound[damage.kind].name)
    damage.act(place, sound)
    folder = DataFolder(place)
    if damage.full:  # nothing lighter can tell: the suite is as mean as it says
        assert damage.code not in codes(stages.check(None, folder))
    result = stages.check(None, folder, damage.full)
    assert damage.code in codes(result), result.findings
    assert "check.failed" not in codes(result), result.findings
    (found, *_) = [finding for finding in result.findings if finding.code == damage.code]
    assert found.message and "\n" not in found.message
    assert found.severity != "error" or not result.sound
