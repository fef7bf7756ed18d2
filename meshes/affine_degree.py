"""Whether a form is affine in given functions and constants, read off its expression."""

from typing import Any

import ufl
from ufl import classes
from ufl.corealg.traversal import unique_post_traversal

__all__ = ["is_affine"]

_PRODUCTS = (classes.Product, classes.Inner, classes.Dot, classes.Outer, classes.Cross)
_LINEAR = (
    classes.Sum,
    classes.Conj,  # numbers are real
    classes.Real,
    classes.Grad,
    classes.Div,
    classes.Curl,
    classes.NablaGrad,
    classes.NablaDiv,
    classes.Indexed,
    classes.IndexSum,
    classes.ComponentTensor,
    classes.ListTensor,
    classes.Transposed,
    classes.Trace,
    classes.Sym,
    classes.Skew,
    classes.Deviatoric,
    classes.Variable,
    classes.ReferenceValue,
    classes.ReferenceGrad,
    classes.Restricted,
)


def is_affine(form: ufl.Form, terminals: list[Any]) -> bool:
    """Return whether the form is affine in all of the terminals at once. Not collective.

    A sufficient test by the rules of degrees: a product's is the sum of its factors', a sum's the
    largest, a derivative's that of its operand; what isn't known to be linear is not. So a u v and
    a u v + f v are affine in a and f, while a f v, k² v, √a v are not.

    Args:
        form: The form, before it is compiled.
        terminals: Functions and constants.
    """
    return all(_degree(part.integrand(), terminals) <= 1 for part in form.integrals())


def _degree(integrand: Any, terminals: list[Any]) -> float:
    """Degree in the terminals; infinite if it is no polynomial, or not known to be one."""
    wanted = {id(terminal) for terminal in terminals}
    degrees: dict[Any, float] = {}
    for node in unique_post_traversal(integrand):
        below = [degrees[operand] for operand in node.ufl_operands]
        degrees[node] = float(id(node) in wanted) if not below else _combined(node, below)
    return degrees[integrand]


def _combined(node: Any, below: list[float]) -> float:
    if not any(below):
        return 0.0
    if isinstance(node, _PRODUCTS):
        return sum(below)
    if isinstance(node, _LINEAR):
        return max(below)
    if isinstance(node, classes.Division) and not below[1]:
        return below[0]
    if isinstance(node, classes.Conditional) and not below[0]:
        return max(below)
    return float("inf")
