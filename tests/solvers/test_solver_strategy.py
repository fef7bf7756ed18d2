"""Strategies are data: names, combinations, the options they turn into."""

import dataclasses

import pytest

from solvers import Reason, Strategy
from solvers.strategy import check_ranks, options


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"ksp": "gcro"}, "ksp is 'gcro': take one of gcrodr, gmres"),
        ({"pc": "hypre"}, "pc is 'hypre': take one of none"),
        ({"guess": "last"}, "zero, previous"),
        ({"ksp": "preonly", "pc": "ilu"}, "cholesky or lu"),
        ({"ksp": "preonly", "pc": "lu", "reuse": "lagged"}, "cg or gmres"),
        ({"ksp": "cg", "pc": "icc", "side": "right"}, "left side only"),
        ({"ksp": "fgmres", "side": "left"}, "right side only"),
        ({"ksp": "gmres", "recycling": True}, "only gcrodr"),
        ({"restart": 20, "recycle": 19}, "recycle=19"),
        ({"block": 4}, "block is 4: take one of 1, 16"),
        ({"max_it": 0}, "max_it is 0"),
        ({"scaling": "diagonal"}, "only blocks are scaled"),
        ({"ksp": "gmres", "pc": "ilu", "block": 16}, "blocks have preonly"),
        ({"ksp": "preonly", "pc": "lu", "block": 16, "guess": "pod"}, "start from zero"),
    ],
)
def test_mistakes_are_named(values, words):
    with pytest.raises(ValueError, match=words):
        Strategy(**values)


def test_all_mistakes_at_once():
    with pytest.raises(ValueError, match="pc is 'amg'.*max_it is 0"):
        Strategy(pc="amg", max_it=0)


def test_serial_preconditioners_on_several_ranks():
    for pc in ("icc", "ilu", "sor"):
        assert options(Strategy(pc=pc), 1)["pc_type"] == pc
        found = options(Strategy(pc=pc), 2)
        assert found["pc_type"] == "bjacobi"
        assert found["sub_pc_type"] == pc
    with pytest.raises(ValueError, match="mumps"):
        check_ranks(Strategy("preonly", "lu", factor_solver="petsc"), 2)


def test_strategies_are_data():
    strategy = Strategy("cg", "icc")
    assert strategy == dataclasses.replace(Strategy(ksp="cg"), pc="icc")
    assert len({strategy, Strategy("cg", "icc"), Strategy()}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        strategy.pc = "none"


def test_reasons_name_the_cure():
    for reason in Reason:
        assert "\n" not in reason.text
        assert (reason > 0) == (reason == Reason.CONVERGED)
        if reason < 0:
            assert ":" in reason.text
