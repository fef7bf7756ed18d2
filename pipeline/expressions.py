"""Mathematical expressions in a spec: parsed as data, never evaluated as code."""

import ast
import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sympy  # slow to import, and most specs hold numbers only

__all__ = ["ALLOWED_FUNCTIONS", "COORDINATES", "evaluate", "function", "number", "parse"]

ALLOWED_FUNCTIONS = ("sin", "cos", "tan", "exp", "log", "sqrt", "sinh", "cosh", "tanh", "Abs")
_OPERATORS = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}
_MAX_LENGTH = 1000
COORDINATES = ("x", "y", "z")


def parse(text: str, symbols: tuple[str, ...] = COORDINATES) -> "sympy.Expr":
    """Turn text like "sin(pi*x) + y**2" into a SymPy expression.

    Numbers, `pi`, the given symbols, + - * / ** and `ALLOWED_FUNCTIONS` are understood.

    Raises:
        ValueError: Anything else stands in the text.
    """
    import sympy

    allowed = f"numbers, pi, {', '.join(symbols)}, + - * / **, {', '.join(ALLOWED_FUNCTIONS)}"
    try:
        if len(text) > _MAX_LENGTH:
            raise ValueError(f"longer than {_MAX_LENGTH} characters")
        expr = _build(ast.parse(text, mode="eval").body, symbols)
    except (SyntaxError, ValueError, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"{text!r} is not an expression ({error}); allowed: {allowed}") from None
    if expr.has(sympy.zoo, sympy.oo, -sympy.oo, sympy.nan, sympy.I):
        raise ValueError(f"{text!r} is not a finite real expression; allowed: {allowed}")
    return expr


def number(text: str) -> float | None:
    """Return the value of a text that is a finite number, else None; spares loading SymPy."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def function(text: str) -> Callable[[Any, Any], Any]:
    """Return f(coordinates, functions) of an expression, for NumPy and UFL; see `evaluate`."""
    if (value := number(text)) is not None:
        return lambda coordinates, functions: value
    return partial(evaluate, parse(text))


def evaluate(expr: "sympy.Expr", coordinates: Any, functions: Any) -> Any:
    """Evaluate in another algebra: `functions` is a module with sin, exp, … (NumPy, UFL).

    Args:
        expr: From `parse`.
        coordinates: Values of x, y (and z), in this order.
        functions: Module that has the functions: NumPy or UFL (whose logarithm is `ln`).

    Raises:
        ValueError: The expression uses a coordinate that the mesh does not have.
    """
    import sympy

    symbols = sympy.symbols(COORDINATES)[: len(coordinates)]
    if beyond := sorted(str(symbol) for symbol in expr.free_symbols - set(symbols)):
        raise ValueError(
            f"{expr} uses {', '.join(beyond)}, but the mesh is in {len(symbols)}-D: "
            f"only {', '.join(map(str, symbols))}"
        )
    table = {name: getattr(functions, name, None) for name in ALLOWED_FUNCTIONS}
    table |= {"Abs": abs, "log": getattr(functions, "log", None) or functions.ln}
    return sympy.lambdify(symbols, expr, modules=[table])(*coordinates)


def _check_power(a: "sympy.Expr", b: "sympy.Expr") -> None:
    """Refuse powers that SymPy would compute to millions of digits, or expand for ever."""
    too_large = b.is_number and abs(b) > 64
    if not too_large and a.is_number and b.is_number:
        too_large = abs(float(b)) * abs(math.log(abs(float(a)) or 1.0)) > 700
    if too_large:
        raise ValueError(f"the power {a}**{b} is too large")


def _build(node: ast.expr, symbols: tuple[str, ...]) -> "sympy.Expr":
    import sympy

    match node:
        case ast.Constant(value=bool()):
            raise ValueError(f"{node.value!r} is not a number")
        case ast.Constant(value=int() | float()):
            return sympy.sympify(node.value)
        case ast.Name(id="pi"):
            return sympy.pi
        case ast.Name(id=name) if name in symbols:
            return sympy.Symbol(name)
        case ast.UnaryOp(op=ast.USub()):
            return -_build(node.operand, symbols)
        case ast.UnaryOp(op=ast.UAdd()):
            return _build(node.operand, symbols)
        case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
            a, b = _build(left, symbols), _build(right, symbols)
            if isinstance(op, ast.Pow):
                _check_power(a, b)
            return _OPERATORS[type(op)](a, b)
        case ast.Call(func=ast.Name(id=name), args=[arg], keywords=[]) if name in ALLOWED_FUNCTIONS:
            return getattr(sympy, name)(_build(arg, symbols))
    raise ValueError(f"{ast.unparse(node)!r} is not understood")
