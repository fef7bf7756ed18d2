"""`manifest.problem`: the PDE as text that SymPy parses, made from the family's own forms."""

import re
from keyword import iskeyword
from types import SimpleNamespace
from typing import Any

from pipeline.expressions import number
from pipeline.inputs import is_field_law
from pipeline.problem import input_fields, laws, parameters
from pipeline.spec import Spec

__all__ = ["statement"]


TRACES = {"RT": "normal", "BDM": "normal", "N1curl": "tangential", "N2curl": "tangential"}
"""Of vectors in these spaces only this part is fixed on the boundary."""


_COMMON = {
    "h": {"units": "m", "meaning": "diameter of a cell", "kind": "mesh"},
    "dt": {"units": "s", "meaning": "length of the time step", "kind": "time"},
    "t": {"units": "s", "meaning": "time", "kind": "time"},
} | {f"n_{a}": {"units": "1", "meaning": "outward normal", "kind": "mesh"} for a in "xyz"}
"""What forms may speak of besides a family's quantities."""


def statement(spec: Spec) -> dict[str, Any]:
    """Return strong and weak form, conditions, and the meaning of all symbols.

    Fields are functions of the coordinates, what is the same everywhere a symbol. Texts are
    SymPy's; `strong` has one equation, each 0 in the domain, for each component, `weak` the
    integrands, whose integrals over the places named add up to 0 for all test functions v_….
    """
    from pipeline.symbolic import SymbolicCalculus, unknown

    family, dim = spec.problem, spec.mesh.gdim
    q, outputs = SymbolicCalculus(dim), spec.problem.outputs(dim)
    u = [_unknown(o.symbol, q.coordinates, o.space.value_shape(dim)) for o in outputs]
    v = [unknown(f"v_{o.symbol}", q.coordinates, o.space.value_shape(dim)) for o in outputs]
    before = [
        unknown(f"{o.symbol}_before", q.coordinates, o.space.value_shape(dim)) for o in outputs
    ]
    q.previous = _single(before)
    c = _symbols(spec, q)
    start = family.initial(q, c)
    weak = family.weak(q, _single(u), _single(v), c)
    said = {
        "family": family.family,
        "description": (type(family).__doc__ or "").strip().splitlines()[0],
        "dimension": dim,
        "strong": [str(e) for e in _flat(family.strong(q, _single(u), c))],
        "weak": [{"where": w, "integrand": str(value)} for w, value in weak.terms if value != 0],
        "meaning": "strong: each 0 in the domain; weak: the integrals add up to 0 for all v_…",
        "boundary": [_texts(condition, outputs) for condition in family.conditions(q, c)],
        "initial": [] if start is None else [str(e) for e in _flat(start)],
        "times": family.times(),
        "outputs": {
            o.symbol: {"units": o.units, "meaning": o.description}
            | ({} if o.space.value_shape(dim) else _alias(o.symbol))
            for o in outputs
        },
        "symbols": _meanings(spec),
        "parameters": {n: m for n, m in _meanings(spec).items() if m["kind"] == "parameter"},
    }
    conditions = [text for condition in said["boundary"] for text in condition["value"]]
    text = " ".join([*said["strong"], *(term["integrand"] for term in said["weak"]), *conditions])
    words = set(re.findall(r"[A-Za-z_]\w*", text))
    said["symbols"] |= {name: meaning for name, meaning in _COMMON.items() if name in words}
    for o in outputs if start is not None else []:
        meaning = {"units": o.units, "meaning": f"{o.symbol} at the time before", "kind": "time"}
        said["symbols"][f"{o.symbol}_before"] = meaning
    return said


def _symbols(spec: Spec, q: Any) -> SimpleNamespace:
    import sympy

    shapes, fields = (
        {p.name: p.shape for p in parameters(spec)},
        {f.name for f in input_fields(spec)},
    )
    made = {}
    for quantity in spec.problem.quantities():
        symbol = quantity.symbol
        if symbol in fields or (symbol not in shapes and number(str(quantity.value)) is None):
            made[symbol] = _unknown(symbol, q.coordinates)
        elif shapes.get(symbol):
            made[symbol] = sympy.Matrix(sympy.symbols(f"{symbol}_0:{shapes[symbol][0]}"))
        else:
            made[symbol] = sympy.Symbol(_written(symbol))
    return SimpleNamespace(**made)


def _meanings(spec: Spec) -> dict[str, Any]:
    found: dict[str, Any] = {}
    random = laws(spec)
    for q in spec.problem.quantities():
        entry: dict[str, Any] = {"units": q.units, "meaning": q.meaning} | _alias(q.symbol)
        if q.symbol not in random:
            entry |= {"kind": "expression", "value": str(q.value)}
        else:
            kind = "field" if is_field_law(q.value) else "parameter"
            entry |= {"kind": kind, "law": q.value.model_dump(mode="json")}
        found[q.symbol] = entry
    return found


def _written(symbol: str) -> str:
    """The symbol in texts: E, S or beta would be read as things of SymPy's, so they are E_, ….

    Components, such as E_x, never are.
    """
    import sympy

    taken = hasattr(sympy, symbol) or iskeyword(symbol)
    return f"{symbol}_" if taken else symbol


def _alias(symbol: str) -> dict[str, str]:
    written = _written(symbol)
    return {} if written == symbol else {"written": written}


def _unknown(symbol: str, coordinates: list[Any], shape: tuple[int, ...] = ()) -> Any:
    from pipeline.symbolic import unknown

    return unknown(symbol if shape else _written(symbol), coordinates, shape)


def _single(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else tuple(parts)


def _flat(value: Any) -> list[Any]:
    """The components of an expression, a column, or a tuple of them."""
    import sympy

    if isinstance(value, tuple | list):
        return [e for part in value for e in _flat(part)]
    return list(value) if isinstance(value, sympy.MatrixBase) else [value]


def _texts(condition: dict[str, Any], outputs: list[Any]) -> dict[str, Any]:
    """A condition as text; one expression, 0 there, for each component."""
    field, values = condition["field"], _flat(condition["value"])
    names = [f"{field}_{axis}" for axis in "xyz"[: len(values)]]
    names = [_written(field)] if len(values) == 1 else names
    texts = [f"{name} - ({value})" for name, value in zip(names, values, strict=True)]
    families = {o.symbol: o.space.family for o in outputs}
    trace = TRACES.get(families.get(field, ""))
    what = {"trace": trace} if trace else {}
    return condition | what | {"value": [str(v) for v in values], "expression": texts}
