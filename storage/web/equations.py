"""Equations as MathML, from the texts of `manifest.problem`.

The texts are of SymPy's syntax, but they may come from anywhere, and SymPy evaluates what it
parses. So they are read as a syntax tree, of which a few kinds of nodes are known, and each node
is written as it stands: nothing is computed, simplified or executed. What isn't understood is
shown as text.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from html import escape

__all__ = ["equation", "names", "symbol"]

_LONGEST = 12_000
_DEEPEST = 60
_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ",
    "eta": "η", "theta": "θ", "kappa": "κ", "lambda": "λ", "lamda": "λ", "mu": "μ", "nu": "ν",
    "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "chi": "χ",
    "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ",
    "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
_FUNCTIONS = {"sin", "cos", "tan", "exp", "log", "sinh", "cosh", "tanh", "asin", "acos", "atan"}
_FUNCTIONS |= {"sign", "Max", "Min", "Heaviside"}
_COMPARED: dict[type, str] = {
    ast.Gt: "&gt;", ast.Lt: "&lt;", ast.GtE: "≥", ast.LtE: "≤", ast.Eq: "=", ast.NotEq: "≠",
}  # fmt: skip
_SUM, _SIGN, _PRODUCT, _POWER, _ATOM = range(5)
"""How strongly a piece holds together: what is weaker than its place is put in brackets."""

type Piece = tuple[str, int]


def equation(text: str, right: str | None = None, block: bool = True) -> str:
    """Return MathML of an expression, with " = right" behind it if that is given.

    Args:
        text: of SymPy's syntax.
        right: the right side, also an expression.
        block: whether it stands on a line of its own.

    Returns:
        A `<math>` element, or the escaped text in `<code>` where it isn't understood.
    """
    try:
        inner = _piece(_tree(text), 0)[0]
        if right is not None:
            inner += f"<mo>=</mo>{_piece(_tree(right), 0)[0]}"
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        shown = text if right is None else f"{text} = {right}"
        return f"<code>{escape(shown[:_LONGEST])}</code>"
    shown = ' display="block"' if block else ""
    return f"<math{shown}><mrow>{inner}</mrow></math>"


def symbol(name: str) -> str:
    """Return MathML of a single symbol, such as `u_x`, `mu`, `v_u`."""
    if not re.fullmatch(r"[A-Za-z]\w{0,80}", name):
        return f"<code>{escape(name[:200])}</code>"
    return f"<math><mrow>{_name(name)}</mrow></math>"


def names(text: str) -> set[str]:
    """Return the words of an expression that may be symbols."""
    return set(re.findall(r"[A-Za-z]\w*", text[:_LONGEST]))


def _tree(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ValueError("too long")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return ast.parse(text.strip(), mode="eval").body


def _piece(node: ast.expr, depth: int) -> Piece:
    if depth > _DEEPEST:
        raise ValueError("too deep")
    for kind, write in _KINDS.items():
        if isinstance(node, kind):
            return write(node, depth + 1)
    raise ValueError(f"{type(node).__name__} is not understood")


def _number(node: ast.Constant, depth: int) -> Piece:
    if type(node.value) is bool:
        return f"<mi>{node.value}</mi>", _ATOM
    if type(node.value) not in (int, float):
        raise ValueError("no number")
    shown = f"{node.value:.6g}" if isinstance(node.value, float) else str(node.value)[:40]
    mantissa, _, exponent = shown.partition("e")
    if not exponent:
        return f"<mn>{mantissa}</mn>", _ATOM
    power = f"<msup><mn>10</mn><mn>{int(exponent)}</mn></msup>"
    return f"<mn>{mantissa}</mn><mo>⋅</mo>{power}", _PRODUCT


def _symbol(node: ast.Name, depth: int) -> Piece:
    return _name(node.id), _ATOM


def _name(name: str) -> str:
    """u_x as u with index x, v_u as v with index u, u_before as u with index n − 1."""
    head, *rest = name.rstrip("_").split("_")
    if not head or not all(rest):
        return f"<mi>{escape(name)}</mi>"
    if digits := re.fullmatch(r"([A-Za-z]+)(\d+)", head):
        head, rest = digits[1], [digits[2], *rest]
    base = _letter(head)
    if "before" in rest:
        rest.remove("before")
        before = "<mrow><mo>(</mo><mi>n</mi><mo>−</mo><mn>1</mn><mo>)</mo></mrow>"
        base = f"<msup>{base}{before}</msup>"
    if not rest:
        return base
    below = "<mo>,</mo>".join(_letter(part) for part in rest)
    return f"<msub>{base}<mrow>{below}</mrow></msub>"


def _letter(word: str) -> str:
    if word == "dt":
        return "<mrow><mi>Δ</mi><mi>t</mi></mrow>"
    tag = "mn" if word.isdigit() else "mi"
    return f"<{tag}>{_GREEK.get(word, escape(word))}</{tag}>"


def _signed(node: ast.UnaryOp, depth: int) -> Piece:
    if not isinstance(node.op, ast.USub | ast.UAdd):
        raise ValueError("no sign")
    mark = "−" if isinstance(node.op, ast.USub) else "+"
    return f"<mo>{mark}</mo>{_within(node.operand, _PRODUCT, depth)}", _SIGN


def _operation(node: ast.BinOp, depth: int) -> Piece:
    match node.op:
        case ast.Add() | ast.Sub():
            return _sum(node, depth)
        case ast.Mult() if _is_one(node.left):
            return _piece(node.right, depth)
        case ast.Mult() if _is_one(node.right):
            return _piece(node.left, depth)
        case ast.Mult() if isinstance(node.left, ast.UnaryOp) and _is_one(node.left.operand):
            return _signed(ast.UnaryOp(node.left.op, node.right), depth)
        case ast.Mult():
            left, right = _within(node.left, _SIGN, depth), _within(node.right, _PRODUCT, depth)
            strength = _SIGN if left.startswith("<mo>−") else _PRODUCT
            between = "<mo>⋅</mo>" if _is_number(node.right) else "<mo>&#x2062;</mo>"
            return f"{left}{between}{right}", strength
        case ast.Div():
            parts = (_piece(side, depth)[0] for side in (node.left, node.right))
            return "<mfrac>" + "".join(f"<mrow>{p}</mrow>" for p in parts) + "</mfrac>", _PRODUCT
        case ast.Pow():
            base, power = _within(node.left, _ATOM, depth), _piece(node.right, depth)[0]
            return f"<msup><mrow>{base}</mrow><mrow>{power}</mrow></msup>", _POWER
    raise ValueError("unknown operation")


def _sum(node: ast.BinOp, depth: int) -> Piece:
    """A sum without nesting: 300 terms are no depth of 300."""
    terms: list[str] = []
    left: ast.expr = node
    while isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add | ast.Sub):
        sign = "−" if isinstance(left.op, ast.Sub) else "+"
        terms.append(f"<mo>{sign}</mo>{_within(left.right, _PRODUCT, depth)}")
        left = left.left
    return "".join([_piece(left, depth)[0], *reversed(terms)]), _SUM


def _call(node: ast.Call, depth: int) -> Piece:
    if not isinstance(node.func, ast.Name) or node.keywords:
        raise ValueError("no call of a name")
    name, args = node.func.id, node.args
    if name == "Derivative" and len(args) >= 2:
        return _derivative(args, depth)
    if name == "Piecewise" and args:
        return _piecewise(args, depth)
    if name == "sqrt" and len(args) == 1:
        return f"<msqrt>{_piece(args[0], depth)[0]}</msqrt>", _ATOM
    if name == "Abs" and len(args) == 1:
        return f"<mrow><mo>|</mo>{_piece(args[0], depth)[0]}<mo>|</mo></mrow>", _ATOM
    coordinates = all(isinstance(arg, ast.Name) and arg.id in "xyzt" for arg in args)
    if name not in _FUNCTIONS and coordinates:  # a field: its arguments are always the same
        return _name(name), _ATOM
    inner = "<mo>,</mo>".join(_piece(arg, depth)[0] for arg in args)
    label = "ln" if name == "log" else name
    head = f"<mi>{label}</mi>" if name in _FUNCTIONS else _name(name)
    return f"<mrow>{head}<mo>&#x2061;</mo>{_brackets(inner)}</mrow>", _ATOM


def _derivative(args: list[ast.expr], depth: int) -> Piece:
    """∂u/∂x, ∂²u/∂x², ∂²u/∂x∂y."""
    by: list[tuple[str, int]] = []
    for arg in args[1:]:
        match arg:
            case ast.Name(id=name):
                by.append((name, 1))
            case ast.Tuple(elts=[ast.Name(id=name), ast.Constant(value=int(times))]):
                by.append((name, times))
            case _:
                raise ValueError("no derivative")
    order = sum(times for _, times in by)
    below = "".join(f"<mo>∂</mo>{_raised(_name(name), times)}" for name, times in by)
    above, inner = _raised("<mo>∂</mo>", order), _piece(args[0], depth)
    if inner[1] == _ATOM:
        return f"<mfrac><mrow>{above}{inner[0]}</mrow><mrow>{below}</mrow></mfrac>", _PRODUCT
    operator = f"<mfrac><mrow>{above}</mrow><mrow>{below}</mrow></mfrac>"
    return f"{operator}{_brackets(inner[0])}", _PRODUCT


def _raised(what: str, times: int) -> str:
    return what if times == 1 else f"<msup>{what}<mn>{str(times)[:9]}</mn></msup>"


def _piecewise(args: list[ast.expr], depth: int) -> Piece:
    rows = []
    for arg in args:
        if not isinstance(arg, ast.Tuple) or len(arg.elts) != 2:
            raise ValueError("no case")
        value, test = arg.elts
        always = isinstance(test, ast.Constant) and test.value is True
        when = "<mtext>otherwise</mtext>"
        if not always:
            when = f"<mtext>if&#xA0;</mtext>{_piece(test, depth)[0]}"
        rows.append(
            f"<mtr><mtd>{_piece(value, depth)[0]}</mtd><mtd><mrow>{when}</mrow></mtd></mtr>"
        )
    return f"<mrow><mo>{{</mo><mtable>{''.join(rows)}</mtable></mrow>", _SUM


def _comparison(node: ast.Compare, depth: int) -> Piece:
    if len(node.ops) != 1 or type(node.ops[0]) not in _COMPARED:
        raise ValueError("no comparison")
    left, right = (_piece(side, depth)[0] for side in (node.left, node.comparators[0]))
    return f"{left}<mo>{_COMPARED[type(node.ops[0])]}</mo>{right}", _SUM


def _within(node: ast.expr, least: int, depth: int) -> str:
    """A piece, in brackets if it holds less together than its place needs."""
    inner, strength = _piece(node, depth)
    return inner if strength >= least else _brackets(inner)


def _brackets(inner: str) -> str:
    return f"<mrow><mo>(</mo>{inner}<mo>)</mo></mrow>"


def _is_one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 1 and node.value is not True


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant)


_KINDS: dict[type, Callable[..., Piece]] = {
    ast.Constant: _number,
    ast.Name: _symbol,
    ast.UnaryOp: _signed,
    ast.BinOp: _operation,
    ast.Call: _call,
    ast.Compare: _comparison,
}
