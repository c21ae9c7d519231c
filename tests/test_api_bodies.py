"""The documentation of request bodies: every field by name, with words; examples that are valid."""

import html
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from api.body_words import WORDS
from tests.api_server import Api

Json = dict[str, Any]
SAYS_NOTHING = "Nothing to say."


@pytest.fixture(scope="module")
def described(api: Api) -> Json:
    return api.shown("/openapi.json")


def bodies(described: Json) -> Iterator[tuple[str, Json]]:
    """(method and path, JSON content) of what has a body; evidence are files."""
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                yield f"{method} {path}", content["application/json"]


def target(described: Json, schema: Json) -> Json:
    if "$ref" not in schema:
        return schema
    found: Json = described
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def fields(described: Json, schema: Json, seen: set[str]) -> Iterator[tuple[str, str, Json]]:
    """(model, field, schema) of all that a body is made of."""
    model = target(described, schema)
    parts = [*model.get("properties", {}).values(), *model.get("anyOf", ())]
    inner = [model.get(name) for name in ("items", "additionalProperties")]
    parts += [part for part in inner if isinstance(part, dict)]
    if "properties" in model:
        if model["title"] in seen:
            return
        seen.add(model["title"])
        for name, field in model["properties"].items():
            yield model["title"], name, field
    for part in parts:
        yield from fields(described, part, seen)


def test_every_body_names_its_fields_and_each_says_what_it_is(described: Json) -> None:
    used, seen = set[str](), set[str]()
    found = list(bodies(described))
    posts = [one for methods in described["paths"].values() if (one := methods.get("post"))]
    assert len([name for name, _ in found if name.startswith("post")]) == len(posts) - 1
    for name, content in found:
        forms = content["schema"].get("anyOf", [content["schema"]])
        for form in (target(described, one) for one in forms):
            empty = form["description"] == SAYS_NOTHING if "description" in form else False
            assert bool(form.get("properties")) != empty, name
            assert set(form.get("required", ())) <= set(form.get("properties", ())), name
        for model, field, schema in fields(described, content["schema"], seen):
            told = [one for one in (schema, *schema.get("anyOf", ())) if one.get("description")]
            assert told, f"{model}.{field} has no words in body_words.py"
            used |= {f"{model}.{field}", field}
    assert set(WORDS) <= used, f"words without a field: {set(WORDS) - used}"


def test_every_example_is_what_its_schema_describes(described: Json) -> None:
    for name, content in bodies(described):
        schema = content["schema"] | {"components": described["components"]}
        validator = jsonschema_rs.validator_for(schema)
        for one in content["examples"].values():
            assert [str(error) for error in validator.iter_errors(one["value"])] == [], name
        assert not validator.is_valid({"surprise": 1}), name


def test_the_page_shows_each_field_and_whether_it_is_required(api: Api) -> None:
    text = html.unescape(api.get("/docs").text)
    _, _, placing = text.partition("<code>/v1/orders</code>")
    placing, _, _ = placing.partition("</details>")
    shown = dict(re.findall(r"<dt><code>([^<]*)</code> <small>([^<]*)</small></dt>", placing))
    assert "PlaceOrderBody" in placing
    assert "OrderAsSoldBody" in placing
    assert shown["currency"] == "string, required"
    assert shown["lines[].unit_price_minor"] == "integer"
    sku = re.search(r"<code>lines\[\].sku</code>.*?<dd>(.*?)</dd>", placing, re.DOTALL)
    assert sku is not None
    assert sku[1] == f"{WORDS['sku']}. At most 128 characters"
