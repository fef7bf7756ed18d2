"""Every family converges in every space it offers with the order of theory, from both sides."""

import pytest

from benchmarks.convergence import cases, run

SHORT = list(cases())
LONG = [case for case in cases(thorough=True)]


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
def test_the_orders_are_those_of_theory(case):
    for row in run(case):
        assert row["within"], row


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("case", LONG, ids=lambda case: case.name)
def test_the_orders_are_those_of_theory_on_fine_meshes_and_in_space(case):
    for row in run(case, thorough=True):
        assert row["within"], row


def test_a_wrong_form_is_noticed():
    (case,) = [case for case in SHORT if case.name == "darcy P1 triangle"]

    class Wrong(type(case.family)):
        def weak(self, q, u, v, c):
            return super().weak(q, u, v, c) + q.dx(0.1 * u * q.x[0] / q.h * v)

    object.__setattr__(case, "family", Wrong(**case.family.model_dump()))
    from benchmarks.convergence import square
    from pipeline.manufactured import consistency

    assert consistency(case.family, *square(8, 2, "triangle")) > 1e-2
