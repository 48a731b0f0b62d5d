"""Records come out of JSON as they went in, and whatever else a file may hold is one sentence that names the field."""

import json
from typing import NamedTuple, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walkies import records
from walkies.errors import UserError


class Point(NamedTuple):
    x: float
    name: str = "origin"


class Needed(TypedDict):
    points: list[Point]
    pair: tuple[int, float | None]
    many: tuple[str, ...]
    by_name: dict[str, dict[str, bool]]


class Thing(Needed, total=False):
    later: int


def build(content, kind=Thing):
    return records.build(content, kind, "thing.json", "a thing; make it anew")


GOOD = {
    "points": [{"x": 1, "name": "a", "unknown": []}, {"x": 2.5}, [3.0, "c"]],
    "pair": [1, None],
    "many": ["a", "b", "c"],
    "by_name": {"one": {"yes": True}, "none": {}},
}


def test_what_fits_comes_out_as_the_record():
    thing = build(GOOD)
    assert thing["points"] == [Point(1.0, "a"), Point(2.5), Point(3.0, "c")] and type(thing["points"][0].x) is float
    assert thing["pair"] == (1, None) and thing["many"] == ("a", "b", "c")
    assert thing["by_name"] == GOOD["by_name"] and "later" not in thing
    assert build({**GOOD, "later": 3})["later"] == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"points": None}, "points: got None where a list belongs"),
        ({"points": [{"x": "1"}]}, "points[0].x: got 1 where a finite number belongs"),
        ({"points": [{"name": "a"}]}, "points[0].x is missing"),
        ({"points": [{"x": True}]}, "points[0].x: got True"),
        ({"points": [{"x": 10**400}]}, "points[0].x: got 1000"),
        ({"points": [{"x": json.loads("1e999")}]}, "points[0].x: got inf"),
        ({"points": [[1.0, "a", 2]]}, "points[0] has 3 items where 2 belong"),
        ({"points": [{"x": 1, "name": 2}]}, "points[0].name: got 2 where text belongs"),
        ({"pair": [1.0, None]}, "pair[0]: got 1.0 where a whole number belongs"),
        ({"pair": [True, None]}, "pair[0]: got True"),
        ({"pair": [2**53 + 1, None]}, "pair[0]: got 9007199254740993"),
        ({"pair": [1]}, "pair has 1 items where 2 belong"),
        ({"many": ["a", 1]}, "many[1]: got 1"),
        ({"by_name": {"one": {"yes": 1}}}, "by_name.one.yes: got 1 where true or false belongs"),
        ({"by_name": []}, "by_name: got [] where an object belongs"),
        ({"later": None}, "later: got None"),
    ],
)
def test_what_does_not_fit_is_named(change, said):
    with pytest.raises(UserError) as caught:
        build({**GOOD, **change})
    message = str(caught.value)
    assert said in message and message.startswith("thing.json is damaged (") and "\n" not in message
    assert message.endswith("expected a thing; make it anew")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*GOOD, "x", "name"]) | st.text(), inner),
)


@settings(max_examples=40, deadline=None)
@given(JSON)
def test_nothing_else_ever_comes_of_it(content):
    """Whatever the data: a record, which JSON takes again and which is the same read twice, or the one error."""
    try:
        thing = build(content)
    except UserError:
        return
    assert build(json.loads(json.dumps(thing, allow_nan=False))) == thing


def test_a_file_is_read_as_one(tmp_path):
    path = tmp_path / "thing.json"
    path.write_text(json.dumps([[1, "a"]]))
    assert records.read(path, list[Point], "points") == [Point(1.0, "a")]
    path.write_text("[[1,")
    with pytest.raises(UserError, match=r"thing.json is damaged .*; expected points"):
        records.read(path, list[Point], "points")
