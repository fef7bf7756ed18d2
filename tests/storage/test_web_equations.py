"""Equations: what they look like, and that nothing of a text is executed or let through."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.web.equations import equation, symbol

TAGS = {"math", "mrow", "mi", "mn", "mo", "mfrac", "msub", "msup", "msqrt", "mtable", "mtr", "mtd"}
TAGS |= {"mtext", "code"}


def shown(text, right=None):
    """The characters of an equation as one reads them, with fractions and powers told."""

    def read(node):
        inner = [read(child) for child in node]
        if node.tag == "mfrac":
            return f"[{inner[0]}]/[{inner[1]}]"
        if node.tag in ("msup", "msub"):
            return f"{inner[0]}{'^' if node.tag == 'msup' else '_'}{{{inner[1]}}}"
        return (node.text or "") + "".join(inner)

    return read(ET.fromstring(equation(text, right))).replace("\u2062", "·").replace("\u2061", "")


@pytest.mark.parametrize(
    ("text", "right", "expected"),
    [
        ("-f - a(x, y)*Derivative(u(x, y), (x, 2))", "0", "−f−a·[∂^{2}u]/[∂x^{2}]=0"),
        ("Derivative(u_x(x, y), x, y)", None, "[∂^{2}u_{x}]/[∂x∂y]"),
        ("(a + b)*c", None, "(a+b)·c"),
        ("a - (b - c)", None, "a−(b−c)"),
        ("-delta*t", None, "−δ·t"),
        ("a*(-b)", None, "a·(−b)"),
        ("(a*b)**2", None, "(a·b)^{2}"),
        ("a/b/c", None, "[[a]/[b]]/[c]"),
        ("v_u_x(x, y)", None, "v_{u,x}"),
        ("(u(x, y) - u_before(x, y))/dt", None, "[u−u^{(n−1)}]/[Δt]"),
        ("2*exp(-x)", None, "2·exp(−x)"),
        ("Derivative(a(x)*u(x), x)", None, "[∂]/[∂x](a·u)"),
        ("-f - 1*a*b - 2*1*c", None, "−f−a·b−2·c"),
        ("-1*a + 1*b", None, "−a+b"),
        ("-1*(a + b)", None, "−(a+b)"),
        ("1e-05*mu", None, "1⋅10^{-5}·μ"),
        ("Abs(beta_)", None, "|β|"),
        ("Piecewise((a, b > 0), (0.5, True))", None, "{aif\xa0b>00.5otherwise"),
    ],
)
def test_what_is_read_is_what_stands_there(text, right, expected):
    assert shown(text, right) == expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch /tmp/x')",
        "().__class__.__bases__",
        "[u for u in x]",
        "lambda: 0",
        "f'{a}'",
        "a if b else c",
        "x := 1",
        "<script>alert(1)</script>",
        "a" * 20_000,
        "-" * 3000 + "a",
        "(" * 5000 + "a",
        "Derivative(u, 3)",
        "b'1'",
        "'x'",
        "",
        "\x00",
        "9" * 5000,
    ],
)
def test_what_is_not_understood_is_shown_as_text(text):
    found = equation(text, "0")
    assert found.startswith("<code>") and "<script" not in found
    assert re.fullmatch(r"[^<>]*", found[len("<code>") : -len("</code>")])


def test_nothing_is_computed():
    assert "999999999" in shown("9**9**9**999999999")
    assert shown("1/0") == "[1]/[0]"


def test_many_terms_are_no_depth():
    assert shown(" + ".join(["a"] * 1500)) == "+".join(["a"] * 1500)


words = st.sampled_from(["u(x, y)", "a", "3", "0.5", "Derivative(u(x), x)", "sin(x)", "<b>", "&"])
texts = st.recursive(
    words,
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**", ">"]), inner).map(
        lambda t: f"({t[0]}) {t[1]} {t[2]}"
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(texts, st.text(max_size=80)))
def test_whatever_comes_the_markup_is_sound(text):
    for made in (equation(text), equation(text, text), symbol(text)):
        plain = "".join(c for c in made if c.isprintable())
        tree = ET.fromstring(plain)
        assert {node.tag for node in tree.iter()} <= TAGS
        assert all(set(node.attrib) <= {"display"} for node in tree.iter())
