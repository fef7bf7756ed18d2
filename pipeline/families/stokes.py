"""Stokes flow through a channel, past whatever stands in it."""

from typing import Literal

from pipeline.families.flow import Channel

__all__ = ["Stokes"]


class Stokes(Channel):
    """−μ Δu + ∇p = f, ∇·u = 0 in Ω; u = inflow on `inlet`, open `outlet`, u = 0 elsewhere on ∂Ω.

    Weak form: ∫ μ ∇u : ∇v − p ∇·v − r ∇·u − f·v dx = 0 for all (v, r), v = 0 but on `outlet`,
    where μ ∂u/∂n − p n = 0 follows. At the inlet u = 4 U s (1 − s) e_x, s from 0 to 1 across it.
    The discrete divergence B u is 0 to solver tolerance, so what flows in flows out; ∇·u itself
    is 0 in the mean only. Plane Poiseuille flow is exact with Taylor–Hood.
    """

    family: Literal["stokes"]
