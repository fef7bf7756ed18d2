"""Random inputs: laws of fields and numbers, and the designs that spread them."""

from pipeline.inputs.chebyshev import Chebyshev
from pipeline.inputs.coefficient import Coefficient, ScalarCoefficient, is_field_law, is_law
from pipeline.inputs.cosine import CosineField, CosineFieldSpec
from pipeline.inputs.designs import DesignSpec, design
from pipeline.inputs.file import FileSamples
from pipeline.inputs.gaussian import Gaussian, GaussianSpec, LogNormal, TwoPhase
from pipeline.inputs.matern import MaternField, MaternFieldSpec
from pipeline.inputs.multiscale import Multiscale
from pipeline.inputs.scalars import Categorical, LogUniform, Normal, Uniform
from pipeline.inputs.where import InputSampler, P1Tables, Where

__all__ = [
    "Categorical",
    "Chebyshev",
    "Coefficient",
    "CosineField",
    "CosineFieldSpec",
    "DesignSpec",
    "FileSamples",
    "Gaussian",
    "GaussianSpec",
    "InputSampler",
    "LogNormal",
    "LogUniform",
    "MaternField",
    "MaternFieldSpec",
    "Multiscale",
    "Normal",
    "P1Tables",
    "ScalarCoefficient",
    "TwoPhase",
    "Uniform",
    "Where",
    "design",
    "is_field_law",
    "is_law",
]
