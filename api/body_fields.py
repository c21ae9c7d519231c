"""The fields of request bodies as OpenAPI and the page /docs show them: bodies are read raw, so
what they hold is told from their models and the words in body_words.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.body_words import WORDS

Json = dict[str, Any]
JSON = "application/json"
ENUM_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """One field: `path` such as lines[].sku, `kind` such as integer or one of …"""

    path: str
    required: bool
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Shape:
    """One form that a body can have."""

    name: str
    words: str
    fields: tuple[Shown, ...]


def describe(openapi: Json) -> None:
    """Give every field of every request body its words, in place."""
    seen: set[str] = set()
    for body in _bodies(openapi):
        for model, properties in _models(openapi, body, seen):
            for name, field in properties.items():
                _describe(model, name, field)


def _describe(model: str, name: str, field: Json) -> None:
    """What a model says of its field stands; what its type says of its bounds comes behind."""
    own = WORDS.get(f"{model}.{name}")
    if own and field.get("description"):
        field["description"] = f"{own}. {field['description']}"
    elif own or name in WORDS:
        field.setdefault("description", own or WORDS[name])


def _bodies(openapi: Json) -> Iterator[Json]:
    for methods in openapi["paths"].values():
        for operation in methods.values():
            schema = operation.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema")
            if schema:
                yield schema


def _models(openapi: Json, schema: Json, seen: set[str]) -> Iterator[tuple[str, Json]]:
    """(name, properties) of all models that a schema is made of, each once."""
    model = _target(openapi, schema)
    if "properties" in model:
        name = model["title"]
        if name in seen:
            return
        seen.add(name)
        yield name, model["properties"]
    for part in _parts(model):
        yield from _models(openapi, part, seen)


def _parts(schema: Json) -> Iterator[Json]:
    yield from schema.get("properties", {}).values()
    yield from schema.get("anyOf", ())
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield schema[name]


def _target(openapi: Json, schema: Json) -> Json:
    """What a reference names; anything else is itself."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Json = openapi["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def shapes(openapi: Json, operation: Mapping[str, Any]) -> list[Shape]:
    """The forms of an operation's JSON body; none without one."""
    schema = operation.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema")
    if schema is None:
        return []
    models = [_target(openapi, one) for one in schema.get("anyOf", [schema])]
    return [
        Shape(model["title"], model.get("description", ""), tuple(_fields(openapi, model, "")))
        for model in models
    ]


def _fields(openapi: Json, model: Json, before: str) -> Iterator[Shown]:
    for name, field in model.get("properties", {}).items():
        path, required = f"{before}{name}", name in model.get("required", ())
        bare, inner = _bare(openapi, field), _inner(field)
        yield Shown(path, required, _kind(openapi, field), _words(field, inner))
        nested, mark = bare, ""
        if bare.get("type") == "array":
            nested, mark = _bare(openapi, bare["items"]), "[]"
        elif isinstance(bare.get("additionalProperties"), dict):
            nested, mark = _bare(openapi, bare["additionalProperties"]), ".*"
        yield from _fields(openapi, nested, f"{path}{mark}.")


def _inner(field: Json) -> Json:
    """Of `X or nothing`, the X."""
    found = [one for one in field.get("anyOf", ()) if one.get("type") != "null"]
    return found[0] if len(found) == 1 else field


def _bare(openapi: Json, field: Json) -> Json:
    return _target(openapi, _inner(field))


def _words(field: Json, inner: Json) -> str:
    told = [_told(field), _told(inner), _bounds(inner)]
    if field.get("default") not in (None, {}, []) and "$ref" not in inner:
        told.append(f"Default: `{_plain(field['default'])}`")
    return ". ".join(dict.fromkeys(filter(None, told)))


def _told(schema: Json) -> str:
    return str(schema.get("description", "")).rstrip(".")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return str(value)


def _bounds(inner: Json) -> str:
    said = {
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "minimum": "at least {}",
        "exclusiveMinimum": "above {}",
        "maximum": "at most {}",
        "minItems": "at least {}",
        "maxItems": "at most {} of them",
    }
    found = [text.format(int(inner[name])) for name, text in said.items() if name in inner]
    return ", ".join(one for one in found if one != "at least 1 characters").capitalize()


def _kind(openapi: Json, field: Json) -> str:
    schema = _inner(field)
    if "anyOf" in schema:
        kinds = [_kind(openapi, one) for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    schema = _target(openapi, schema)
    if "enum" in schema:
        return f"one of {', '.join(map(_quoted, schema['enum'][:ENUM_SHOWN_MAX]))}"
    if "const" in schema:
        return _quoted(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_kind(openapi, schema['items'])}"
    if schema.get("type") == "object":
        return "object"
    return str(schema.get("format") or schema.get("type", "any value"))


def _quoted(value: Any) -> str:
    return '""' if value == "" else repr(value)[1:-1] if isinstance(value, str) else str(value)
