"""Expressions: what parses, what it means, and what the service says of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from trilith.dynamodb.errors import DynamoDBError
from trilith.dynamodb.expressions.request import RequestExpressions
from trilith.dynamodb.expressions.reserved_words import RESERVED_WORDS, is_reserved
from trilith.tables.expressions.key_conditions import KeyTerm, KeyTerms
from trilith.tables.values import Item

VALUES = {":n": {"N": "5"}, ":s": {"S": "x"}, ":t": {"S": "y"}, ":b": {"BOOL": True}}
ITEM: Item = {
    "pk": {"S": "k"},
    "n": {"N": "5"},
    "s": {"S": "xy"},
    "m": {"M": {"p": {"N": "7"}, "status": {"S": "x"}}},
    "l": {"L": [{"S": "x"}]},
}


def used_values(text: str) -> dict[str, Any]:
    return {name: value for name, value in VALUES.items() if name in text}


def request(member: str, text: str, **names: str) -> dict[str, Any]:
    request: dict[str, Any] = {member: text}
    if values := used_values(text):
        request["ExpressionAttributeValues"] = values
    if names:
        request["ExpressionAttributeNames"] = {f"#{name}": path for name, path in names.items()}
    return request


def holds(text: str, **names: str) -> bool:
    expressions = RequestExpressions(request("ConditionExpression", text, **names))
    condition = expressions.condition()
    expressions.require_all_used()
    assert condition is not None
    return condition.holds(ITEM)


def updated(text: str, **names: str) -> Item:
    expressions = RequestExpressions(request("UpdateExpression", text, **names))
    update = expressions.update()
    expressions.require_all_used()
    assert update is not None
    changed = update.apply(ITEM, {})
    assert changed is not None
    return changed


def bind(member: str, text: str) -> None:
    expressions = RequestExpressions(request(member, text))
    if member == "UpdateExpression":
        expressions.update()
    elif member == "ProjectionExpression":
        expressions.projection()
    elif member == "KeyConditionExpression":
        expressions.key_terms()
    else:
        expressions.condition(member)


def refusal(member: str, text: str) -> str:
    with pytest.raises(DynamoDBError) as refused:
        bind(member, text)
    assert refused.value.name == "ValidationException"
    return refused.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n = :n", True),
        ("n <> :n", False),
        ("n<:n OR n>=:n", True),
        ("(n) = (:n)", True),
        ("((n) = :n)", True),
        ("(size(s)) < :n", True),
        ("n BETWEEN :n AND :n", True),
        ("n between :n and :n AND NOT n = :s", True),
        ("s IN (:s, :n)", False),
        ("NOT s in (:s)", True),
        ("m.p > :n", True),
        ("m.#st = :s", True),
        ("l[0] = :s", True),
        ("l [ 0 ] = :s", True),
        ("l[1] = :s", False),
        ("attribute_exists(m.p)", True),
        ("attribute_not_exists(m.q)", True),
        ("begins_with(s, :s)", True),
        ("contains(l, :s)", True),
        ("contains(s, :t) AND contains(s, :s)", True),
        ("n = :s OR n = :n AND s = :s", False),
        ("n = :n OR n = :s AND s = :s", True),
        ("(n = :n OR n = :s) AND s = :s", False),
        ("NOT n = :s AND n = :n", True),
        ("NOT (n = :n AND n = :s)", True),
        ("NOT NOT n = :n", True),
        (":n = n", True),
        (":n < :s", False),
    ],
)
def test_a_condition_means_what_its_precedence_says(text: str, expected: bool) -> None:
    names = {"st": "status"} if "#st" in text else {}
    assert holds(text, **names) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty;"),
        ("n =", 'Syntax error; token: "<EOF>", near: "="'),
        ("n = :n AND", 'Syntax error; token: "<EOF>", near: "AND"'),
        ("n = = :n", 'Syntax error; token: "=", near: "= = :n"'),
        ("n", 'Syntax error; token: "<EOF>", near: "n"'),
        ("(n = :n", 'Syntax error; token: "<EOF>", near: ":n"'),
        ("n = :n)", 'Syntax error; token: ")", near: ":n)"'),
        ("!n = :n", 'Syntax error; token: "!", near: "!n"'),
        ("_n = :n", 'Syntax error; token: "_", near: "_n"'),
        ("((n = :n))", "The expression has redundant parentheses;"),
        ("((n)) = :n", "The expression has redundant parentheses;"),
        ("(((n = :n) AND (n = :n)))", "The expression has redundant parentheses;"),
        ("foo(n)", "Invalid function name; function: foo"),
        (
            "if_not_exists(n, :n) = :n",
            "The function is not allowed in a condition expression; function: if_not_exists",
        ),
        (
            "size(n)",
            "The function is not allowed to be used this way in an expression; function: size",
        ),
        (
            "contains(n, :n) = :n",
            "The function is not allowed to be used this way in an expression; function: contains",
        ),
        ("absolute = :n", "Attribute name is a reserved keyword; reserved keyword: absolute"),
        ("n.Status = :n", "Attribute name is a reserved keyword; reserved keyword: Status"),
        (
            "n = :missing",
            (
                "An expression attribute value used in expression is not defined; "
                "attribute value: :missing"
            ),
        ),
        (
            "#x = :n",
            (
                "An expression attribute name used in the document path is not defined; "
                "attribute name: #x"
            ),
        ),
        (
            "contains(n)",
            (
                "Incorrect number of operands for operator or function; "
                "operator or function: contains, number of operands: 1"
            ),
        ),
        (
            "n = n",
            (
                "The first operand must be distinct from the remaining operands for this operator "
                "or function; operator: =, first operand: [n]"
            ),
        ),
        (
            "attribute_exists(:n)",
            "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        (
            "begins_with(n, :n)",
            (
                "Incorrect operand type for operator or function; "
                "operator or function: begins_with, operand type: N"
            ),
        ),
        (
            "n < :b",
            (
                "Incorrect operand type for operator or function; "
                "operator or function: <, operand type: BOOL"
            ),
        ),
        (
            "size(:n) > :n",
            (
                "Incorrect operand type for operator or function; "
                "operator or function: size, operand type: N"
            ),
        ),
        (
            "attribute_type(n, :s)",
            (
                "Invalid attribute type name found; type: x, "
                "valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"
            ),
        ),
        (
            "n BETWEEN :t AND :s",
            (
                "The BETWEEN operator requires upper bound to be greater than or equal to lower "
                "bound; lower bound operand: AttributeValue: {S:y}, "
                "upper bound operand: AttributeValue: {S:x}"
            ),
        ),
        (
            "n BETWEEN :n AND :s",
            (
                "The BETWEEN operator requires same data type for lower and upper bounds; "
                "lower bound operand: AttributeValue: {N:5}, "
                "upper bound operand: AttributeValue: {S:x}"
            ),
        ),
    ],
)
def test_a_condition_is_refused_in_the_services_words(text: str, message: str) -> None:
    assert refusal("ConditionExpression", text) == f"Invalid ConditionExpression: {message}"


def test_an_expression_may_have_4096_bytes_and_300_operators() -> None:
    at_limit = " AND ".join(["n = :n"] * 150) + " AND n = :n"
    assert "too many operators; operator count: 301" in refusal("FilterExpression", at_limit)
    RequestExpressions(request("FilterExpression", " AND ".join(["n = :n"] * 150))).condition(
        "FilterExpression"
    )
    assert holds("n = :n" + " " * 4090)
    assert "expression size: 4097" in refusal("FilterExpression", "n = :n" + " " * 4091)


@pytest.mark.parametrize(
    "text",
    ["(" * 4000, "NOT " * 1000 + "n = :n", "size(" * 800, "n" + "[0]" * 1000, "n" + ".a" * 2000],
)
def test_an_absurd_expression_is_refused_not_a_crash(text: str) -> None:
    assert refusal("FilterExpression", text).startswith("Invalid FilterExpression: ")
    assert refusal("UpdateExpression", f"SET n = {text}").startswith("Invalid UpdateExpression: ")


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("SET n = n + :n", "n", {"N": "10"}),
        ("set n = (n - :n)", "n", {"N": "0"}),
        ("SET q = if_not_exists(q, :s)", "q", {"S": "x"}),
        ("SET l = list_append(l, l)", "l", {"L": [{"S": "x"}, {"S": "x"}]}),
        ("ADD n :n", "n", {"N": "10"}),
        ("REMOVE m.p", "m", {"M": {"status": {"S": "x"}}}),
        ("REMOVE s SET n = :n ADD q :n", "q", {"N": "5"}),
        ("SET n = m.#st", "n", {"S": "x"}),
    ],
)
def test_an_update_expression_does_what_it_says(text: str, name: str, value: Any) -> None:
    names = {"st": "status"} if "#st" in text else {}
    assert updated(text, **names)[name] == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The expression can not be empty;"),
        ("SET", 'Syntax error; token: "<EOF>", near: "SET"'),
        ("SET n = :n,", 'Syntax error; token: "<EOF>", near: ","'),
        ("CHANGE n = :n", 'Syntax error; token: "CHANGE", near: "CHANGE n"'),
        (
            "SET n = :n SET s = :s",
            'The "SET" section can only be used once in an update expression;',
        ),
        ("SET size = :n", "Attribute name is a reserved keyword; reserved keyword: size"),
        ("SET n = foo(n)", "Invalid function name; function: foo"),
        (
            "SET n = size(n)",
            "The function is not allowed in an update expression; function: size",
        ),
        (
            "SET n = :n, n.a = :n",
            (
                "Two document paths overlap with each other; must remove or rewrite one of these "
                "paths; path one: [n], path two: [n, a]"
            ),
        ),
        (
            "SET n.a = :n REMOVE n[0]",
            (
                "Two document paths conflict with each other; must remove or rewrite one of these "
                "paths; path one: [n, a], path two: [n, [0]]"
            ),
        ),
        (
            "ADD n :s",
            (
                "Incorrect operand type for operator or function; operator: ADD, "
                "operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND"
            ),
        ),
        (
            "DELETE n :n",
            (
                "Incorrect operand type for operator or function; "
                "operator: DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND"
            ),
        ),
        (
            "SET n = n + :s",
            (
                "Incorrect operand type for operator or function; "
                "operator or function: +, operand type: S"
            ),
        ),
        (
            "SET n = list_append(n, :s)",
            (
                "Incorrect operand type for operator or function; "
                "operator or function: list_append, operand type: S"
            ),
        ),
        (
            "SET n = list_append(list_append(n, n), n)",
            (
                "The function is not allowed to be used this way in an expression; "
                "function: list_append"
            ),
        ),
        (
            "SET n = if_not_exists(:n, :n)",
            "Operator or function requires a document path; operator or function: if_not_exists",
        ),
        (
            "SET n = if_not_exists(n)",
            (
                "Incorrect number of operands for operator or function; "
                "operator or function: if_not_exists, number of operands: 1"
            ),
        ),
    ],
)
def test_an_update_is_refused_in_the_services_words(text: str, message: str) -> None:
    assert refusal("UpdateExpression", text) == f"Invalid UpdateExpression: {message}"


def test_a_projection_expression_shows_its_paths() -> None:
    expressions = RequestExpressions(request("ProjectionExpression", "n, m.#st", st="status"))
    projection = expressions.projection()
    expressions.require_all_used()
    assert projection is not None
    assert projection.of(ITEM) == {"n": {"N": "5"}, "m": {"M": {"status": {"S": "x"}}}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n, n", "Two document paths overlap with each other"),
        ("n.a, n", "Two document paths overlap with each other"),
        ("n.a, n[0]", "Two document paths conflict with each other"),
        ("n,", 'Syntax error; token: "<EOF>", near: ","'),
        ("!!", 'Syntax error; token: "!", near: "!!"'),
        ("name", "Attribute name is a reserved keyword; reserved keyword: name"),
        (
            "n[99999999999]",
            "List index is not within the allowable range; index: [99999999999]",
        ),
    ],
)
def test_a_projection_is_refused_in_the_services_words(text: str, message: str) -> None:
    refused = refusal("ProjectionExpression", text)
    assert refused.startswith(f"Invalid ProjectionExpression: {message}")


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("pk = :s", {"pk": KeyTerm("=", ({"S": "x"},))}),
        (
            "pk = :s AND :n < sk",
            {"pk": KeyTerm("=", ({"S": "x"},)), "sk": KeyTerm(">", ({"N": "5"},))},
        ),
        (
            "(sk BETWEEN :s AND :t) AND (pk = :s)",
            {
                "sk": KeyTerm("between", ({"S": "x"}, {"S": "y"})),
                "pk": KeyTerm("=", ({"S": "x"},)),
            },
        ),
        ("begins_with(sk, :s)", {"sk": KeyTerm("begins_with", ({"S": "x"},))}),
        ("sk >= :n", {"sk": KeyTerm(">=", ({"N": "5"},))}),
    ],
)
def test_a_key_condition_becomes_terms_by_attribute(text: str, terms: KeyTerms) -> None:
    assert RequestExpressions(request("KeyConditionExpression", text)).key_terms() == terms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pk = :s OR pk = :t", "Invalid operator used in KeyConditionExpression: OR"),
        ("NOT pk = :s", "Invalid operator used in KeyConditionExpression: NOT"),
        ("pk <> :s", "Invalid operator used in KeyConditionExpression: <>"),
        ("pk IN (:s)", "Invalid operator used in KeyConditionExpression: IN"),
        ("contains(pk, :s)", "Invalid operator used in KeyConditionExpression: contains"),
        ("size(pk) = :n", "KeyConditionExpressions cannot contain nested operations"),
        (
            "pk.a = :s",
            "KeyConditionExpressions cannot have conditions on nested attributes",
        ),
        (
            "pk = :s AND pk = :t",
            "KeyConditionExpressions must only contain one condition per key",
        ),
        (
            "pk = sk",
            (
                "Invalid condition in KeyConditionExpression: "
                "Multiple attribute names used in one condition"
            ),
        ),
        (
            ":s = :t",
            "Invalid condition in KeyConditionExpression: No key attribute specified",
        ),
        (
            "begins_with(:s, pk)",
            (
                "Invalid condition in KeyConditionExpression: "
                "begins_with operator must have the key attribute as its first operand"
            ),
        ),
    ],
)
def test_what_selects_no_keys_is_refused(text: str, message: str) -> None:
    assert refusal("KeyConditionExpression", text) == message


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"ExpressionAttributeNames": {}}, "ExpressionAttributeNames must not be empty"),
        ({"ExpressionAttributeValues": {}}, "ExpressionAttributeValues must not be empty"),
        (
            {"ExpressionAttributeNames": {"x": "y"}},
            'ExpressionAttributeNames contains invalid key: Syntax error; key: "x"',
        ),
        (
            {"ExpressionAttributeValues": {":": {"S": "x"}}},
            'ExpressionAttributeValues contains invalid key: Syntax error; key: ":"',
        ),
        (
            {"ExpressionAttributeValues": {":ok": {"S": "x"}, ":v": {"N": "abc"}}},
            (
                "ExpressionAttributeValues contains invalid value: "
                "The parameter cannot be converted to a numeric value: abc for key :v"
            ),
        ),
        (
            {"ExpressionAttributeValues": {":u": {"S": "x"}, ":v": {"S": "x"}}},
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:u, :v}",
        ),
        (
            {"ExpressionAttributeNames": {"#u": "x"}},
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#u}",
        ),
    ],
)
def test_placeholders_are_checked_themselves(members: dict[str, Any], message: str) -> None:
    with pytest.raises(DynamoDBError) as refused:
        RequestExpressions(members).require_all_used()
    assert refused.value.message == message


def test_one_text_serves_requests_with_different_names_and_values() -> None:
    text = "#a = :v"
    for name, value, expected in [("n", "5", True), ("n", "6", False), ("x", "5", False)]:
        expressions = RequestExpressions(
            {
                "ConditionExpression": text,
                "ExpressionAttributeNames": {"#a": name},
                "ExpressionAttributeValues": {":v": {"N": value}},
            }
        )
        condition = expressions.condition()
        assert condition is not None
        assert condition.holds(ITEM) is expected


def test_there_are_573_reserved_words_and_case_does_not_matter() -> None:
    assert len(RESERVED_WORDS) == 573
    assert is_reserved("Status")
    assert is_reserved("ttl")
    assert not is_reserved("pk")
