"""Problem families: each file states one PDE; `docs/families.md` shows how to add another."""

from typing import Annotated, Any

from pydantic import Field

from pipeline.families.convection_diffusion import ConvectionDiffusion
from pipeline.families.curl_curl import CurlCurl
from pipeline.families.darcy import Darcy
from pipeline.families.darcy_mixed import DarcyMixed
from pipeline.families.elasticity import Elasticity
from pipeline.families.heat import Heat
from pipeline.families.helmholtz import Helmholtz
from pipeline.families.helmholtz_absorbing import HelmholtzAbsorbing
from pipeline.families.hyperelastic import Hyperelastic
from pipeline.families.navier_stokes import LidDrivenCavity, NavierStokes
from pipeline.families.poisson import Poisson
from pipeline.families.reaction_diffusion import ReactionDiffusion
from pipeline.families.stokes import Stokes
from pipeline.families.thermal import Thermal, ThermalNonlinear

__all__ = ["FAMILIES", "BuiltIn"]

FAMILIES = (
    ConvectionDiffusion,
    CurlCurl,
    Darcy,
    DarcyMixed,
    Elasticity,
    Heat,
    Helmholtz,
    HelmholtzAbsorbing,
    Hyperelastic,
    LidDrivenCavity,
    NavierStokes,
    Poisson,
    ReactionDiffusion,
    Stokes,
    Thermal,
    ThermalNonlinear,
)
"""The families of the package, in the order of the manual."""

BuiltIn: Any = Annotated[
    ConvectionDiffusion
    | CurlCurl
    | Darcy
    | DarcyMixed
    | Elasticity
    | Heat
    | Helmholtz
    | HelmholtzAbsorbing
    | Hyperelastic
    | LidDrivenCavity
    | NavierStokes
    | Poisson
    | ReactionDiffusion
    | Stokes
    | Thermal
    | ThermalNonlinear,
    Field(discriminator="family"),
]
"""One of them, told by the key `family`."""
