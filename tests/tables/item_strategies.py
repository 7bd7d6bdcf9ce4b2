"""Hypothesis strategies for canonical values and items."""

from __future__ import annotations

from hypothesis import strategies as st

from trilith.tables import values
from trilith.tables.numbers import canonical
from trilith.tables.values import Item, Value

NAMES = st.sampled_from(["a", "b", "c", "m", "l"])


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """Canonical numbers over the whole range, small ones more often."""
    if draw(st.booleans()):
        return str(draw(st.integers(-20, 20)))
    digits = draw(st.integers(1, 10**38 - 1))
    magnitude = draw(st.integers(-130, 125))
    exponent = magnitude - len(str(digits)) + 1
    return canonical(f"{'-' if draw(st.booleans()) else ''}{digits}E{exponent}")


TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)
SCALARS: st.SearchStrategy[Value] = st.one_of(
    TEXTS.map(lambda text: {"S": text}),
    numbers().map(lambda number: {"N": number}),
    st.binary(max_size=5).map(lambda data: {"B": data}),
    st.booleans().map(lambda flag: {"BOOL": flag}),
    st.just({"NULL": True}),
    st.sets(TEXTS, min_size=1, max_size=3).map(lambda members: values.make_set("SS", members)),
    st.sets(numbers(), min_size=1, max_size=3).map(lambda members: values.make_set("NS", members)),
    st.sets(st.binary(max_size=3), min_size=1, max_size=3).map(
        lambda members: values.make_set("BS", members)
    ),
)
VALUES: st.SearchStrategy[Value] = st.recursive(
    SCALARS,
    lambda children: st.one_of(
        st.lists(children, max_size=4).map(lambda elements: {"L": elements}),
        st.dictionaries(NAMES, children, max_size=3).map(lambda entries: {"M": entries}),
    ),
    max_leaves=8,
)
ITEMS: st.SearchStrategy[Item] = st.dictionaries(NAMES, VALUES, max_size=5)
