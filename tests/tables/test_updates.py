"""Updates: what UpdateItem leaves of an item, and what it refuses."""

from __future__ import annotations

import copy

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.item_strategies import ITEMS, VALUES

from trilith.errors import InvalidRequest
from trilith.tables.expressions import updates as model
from trilith.tables.expressions.drafts import NO_SUCH_PLACE
from trilith.tables.expressions.operands import Attribute, Literal
from trilith.tables.expressions.updates import Update
from trilith.tables.values import NESTED_TOO_DEEP, Item, Value

KEY: Item = {"pk": {"S": "k"}}


def number(value: int) -> Value:
    return {"N": str(value)}


def listed(*numbers: int) -> Value:
    return {"L": [number(one) for one in numbers]}


def apply(item: Item | None, *actions: model.Action, legacy: bool = False) -> Item | None:
    return Update(actions, legacy).apply(item, KEY)


def refusal(item: Item | None, *actions: model.Action, legacy: bool = False) -> str:
    with pytest.raises(InvalidRequest) as refused:
        apply(item, *actions, legacy=legacy)
    return refused.value.message


def test_an_update_of_a_missing_item_creates_it_with_its_key() -> None:
    assert apply(None, model.Set(("a",), Literal(number(1)))) == {**KEY, "a": number(1)}
    assert apply(None, model.Add(("a",), number(1))) == {**KEY, "a": number(1)}
    assert apply(None) == KEY


def test_an_update_that_only_takes_away_does_not_create_an_item() -> None:
    assert apply(None, model.Remove(("a",))) is None
    assert apply(None, model.Delete(("a",), {"SS": ["x"]})) is None
    assert apply(None, model.Remove(("a", "b")), model.Remove(("l", 0))) is None


def test_values_are_computed_from_the_item_as_it_was() -> None:
    swap = (model.Set(("a",), Attribute(("b",))), model.Set(("b",), Attribute(("a",))))
    assert apply({"a": number(1), "b": number(2)}, *swap) == {"a": number(2), "b": number(1)}


def test_a_counter_starts_with_if_not_exists() -> None:
    step = model.Set(
        ("n",), model.Sum(model.IfNotExists(("n",), Literal(number(0))), Literal(number(5)), False)
    )
    assert apply({}, step) == {"n": number(5)}
    assert apply({"n": number(5)}, step) == {"n": number(10)}


def test_list_append_joins_in_either_order() -> None:
    item: Item = {"l": listed(1)}
    more = Literal(listed(2, 3))
    back = model.Set(("l",), model.ListAppend(Attribute(("l",)), more))
    front = model.Set(("l",), model.ListAppend(more, Attribute(("l",))))
    assert apply(item, back) == {"l": listed(1, 2, 3)}
    assert apply(item, front) == {"l": listed(2, 3, 1)}


def test_removed_elements_are_those_of_the_original_list() -> None:
    item: Item = {"l": listed(0, 1, 2, 3)}
    assert apply(item, model.Remove(("l", 0)), model.Remove(("l", 2))) == {"l": listed(1, 3)}


def test_elements_set_beyond_the_end_are_appended_in_their_order() -> None:
    item: Item = {"l": listed(0)}
    actions = [model.Set(("l", index), Literal(number(index))) for index in (9, 5, 0)]
    assert apply(item, *actions) == {"l": {"L": [number(0), number(5), number(9)]}}


def test_an_element_beyond_the_end_is_removed_without_effect() -> None:
    assert apply({"l": listed(1)}, model.Remove(("l", 7))) == {"l": listed(1)}


def test_a_set_that_loses_its_last_member_goes() -> None:
    item: Item = {"s": {"SS": ["a", "b"]}}
    assert apply(item, model.Delete(("s",), {"SS": ["b", "z"]})) == {"s": {"SS": ["a"]}}
    assert apply(item, model.Delete(("s",), {"SS": ["a", "b"]})) == {}


def test_members_added_to_a_set_are_in_canonical_order() -> None:
    item: Item = {"s": {"NS": ["2", "10"]}}
    assert apply(item, model.Add(("s",), {"NS": ["-1", "2"]})) == {"s": {"NS": ["-1", "2", "10"]}}


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (model.Set(("x", "y"), Literal(number(1))), NO_SUCH_PLACE),
        (model.Set(("n", "y"), Literal(number(1))), NO_SUCH_PLACE),
        (model.Set(("l", "y"), Literal(number(1))), NO_SUCH_PLACE),
        (model.Set(("m", 0), Literal(number(1))), NO_SUCH_PLACE),
        (model.Remove(("x", "y")), NO_SUCH_PLACE),
        (model.Set(("a",), Attribute(("x",))), model.NO_SUCH_ATTRIBUTE),
        (
            model.Set(("a",), model.Sum(Attribute(("s",)), Literal(number(1)), False)),
            model.WRONG_TYPE,
        ),
        (
            model.Set(("a",), model.ListAppend(Attribute(("s",)), Literal(listed(1)))),
            model.WRONG_TYPE,
        ),
        (model.Add(("s",), number(1)), model.WRONG_TYPE),
        (model.Delete(("n",), {"SS": ["a"]}), model.WRONG_TYPE),
    ],
)
def test_an_update_that_does_not_fit_the_item_is_refused(
    action: model.Action, message: str
) -> None:
    item: Item = {"n": number(1), "s": {"S": "x"}, "l": listed(1), "m": {"M": {}}}
    before = copy.deepcopy(item)
    assert refusal(item, model.Set(("ok",), Literal(number(1))), action) == message
    assert item == before


def test_legacy_updates_word_a_wrong_type_in_their_own_way() -> None:
    item: Item = {"s": {"S": "x"}}
    assert refusal(item, model.Add(("s",), number(1)), legacy=True) == model.LEGACY_WRONG_TYPE


def test_a_sum_that_has_no_representation_is_refused() -> None:
    step = model.Set(("n",), model.Sum(Attribute(("n",)), Literal({"N": "0.1"}), False))
    assert "Number overflow" in refusal({"n": {"N": "1" * 38}}, step)


def test_a_value_set_too_deep_is_refused() -> None:
    deep: Value = {"S": "leaf"}
    for _ in range(31):
        deep = {"M": {"n": deep}}
    item: Item = {"m": {"M": {}}}
    assert refusal(item, model.Set(("m", "d"), Literal(deep))) == NESTED_TOO_DEEP
    assert apply(item, model.Set(("d",), Literal(deep))) is not None


def test_updated_values_show_only_the_leaves_that_were_acted_on() -> None:
    update = Update((model.Set(("m", "a"), Literal(number(2))), model.Remove(("x",))))
    old: Item = {"m": {"M": {"a": number(1), "b": number(9)}}, "x": number(7), "y": number(8)}
    assert update.touched(old) == {"m": {"M": {"a": number(1)}}, "x": number(7)}
    assert update.touched(update.apply(old, KEY)) == {"m": {"M": {"a": number(2)}}}


PATHS = st.sampled_from([("a",), ("b",), ("m", "a"), ("m", "c"), ("l", 0), ("l", 3)])
ACTIONS: st.SearchStrategy[model.Action] = st.one_of(
    st.builds(model.Set, PATHS, VALUES.map(Literal)),
    st.builds(model.Set, PATHS, PATHS.map(Attribute)),
    st.builds(model.Remove, PATHS),
)


@given(ITEMS, st.lists(ACTIONS, max_size=3, unique_by=lambda action: action.path))
def test_no_update_touches_the_item_it_was_given(item: Item, actions: list[model.Action]) -> None:
    before = copy.deepcopy(item)
    try:
        changed = apply(item, *actions)
    except InvalidRequest:
        changed = None
    assert item == before
    if changed is not None:
        untouched = set(item) - {action.path[0] for action in actions}
        assert all(changed[name] is item[name] for name in untouched)


@given(st.lists(ACTIONS, max_size=3))
def test_an_update_travels_to_the_leader_unchanged(actions: list[model.Action]) -> None:
    update = Update(tuple(actions))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(update), type=Update) == update
