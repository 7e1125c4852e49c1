"""What the interface says of itself: the schemas of requests and answers, made for the features of one model."""

from collections.abc import Sequence
from typing import Any

from recsys_bnn.serving.requests import Feature

VERSION = "1"
DESCRIPTION = (
    "Click probabilities from a packed model. A request gives each feature of the model under its name; null is a "
    "missing value, and a value that training never saw counts as unknown."
)
_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string", "description": "What is wrong, and where, in one line."}},
    "required": ["error"],
}


def _whole(bits: int) -> dict[str, Any]:
    return {"type": ["integer", "null"], "minimum": -(2 ** (bits - 1)), "maximum": 2 ** (bits - 1) - 1}


_KINDS: dict[str, dict[str, Any]] = {
    "whole": _whole(64),
    "decimal": {"type": ["number", "null"]},
    "hex": {"type": ["string", "null"], "pattern": "^([0-9a-fA-F]{8})?$"},
    "integer": {"anyOf": [_whole(32), {"type": "string", "pattern": "^(-?[0-9]{1,9})?$"}]},
    "text": {"type": ["string", "number", "null"]},
    "list": {
        "anyOf": [
            {"type": "array", "items": {"type": ["string", "number", "null"]}},
            {"type": ["string", "null"], "description": "A list as it stands in a file of text."},
        ]
    },
}
_REFUSALS = {
    400: "The body is no JSON.",
    413: "Too many bytes or rows.",
    415: "The body is not sent as plain JSON.",
    422: "A field is missing, unknown or wrong; the message names it.",
    503: "Too many requests wait; come again.",
}
_PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
_DIGEST = {"type": "string", "description": "Digest of the model that answered."}


def score(features: Sequence[Feature], max_rows: int) -> dict[str, Any]:
    """Return how /score is registered."""
    row = _object(_properties(features), [feature.name for feature in features])
    columns = _object(_columns(features, max_rows), [feature.name for feature in features])
    body = _object({"rows": {"oneOf": [_list(row, max_rows), columns]}}, ["rows"])
    answer = _object(
        {"model": _DIGEST, "probabilities": {"type": "array", "items": _PROBABILITY}},
        ["model", "probabilities"],
    )
    return _operation("Score rows", body, answer)


def rank(features: Sequence[Feature], max_rows: int) -> dict[str, Any]:
    """Return how /rank is registered."""
    some = _object(_properties(features), [])
    columns = _object(_columns(features, max_rows), [])
    body = _object(
        {
            "context": some | {"description": "Features that all candidates share."},
            "candidates": {
                "oneOf": [_list(some, max_rows), columns],
                "description": "The other features, as a list of candidates or as a list for each feature.",
            },
            "top": {
                "type": ["integer", "null"],
                "minimum": 1,
                "description": "How many to return; all of them by default.",
            },
        },
        ["candidates"],
    )
    places = {"type": "array", "items": {"type": "integer", "minimum": 0}}
    answer = _object(
        {
            "model": _DIGEST,
            "candidates": places | {"description": "Places in the request, from 0, best first."},
            "probabilities": {"type": "array", "items": _PROBABILITY},
        },
        ["model", "candidates", "probabilities"],
    )
    return _operation("Rank candidates of one context", body, answer)


def _columns(features: Sequence[Feature], max_rows: int) -> dict[str, Any]:
    return {name: _list(kind, max_rows) for name, kind in _properties(features).items()}


def _properties(features: Sequence[Feature]) -> dict[str, Any]:
    return {feature.name: _KINDS[feature.kind] for feature in features}


def _list(items: dict[str, Any], most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _operation(summary: str, body: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": summary,
        "openapi_extra": {"requestBody": {"required": True, "content": _json(body)}},
        "responses": {
            200: {"description": "Done.", "content": _json(answer)},
            **{status: {"description": text, "content": _json(_ERROR)} for status, text in _REFUSALS.items()},
        },
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _answer(summary: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": {200: {"description": "Done.", "content": _json(schema)}}}


MODEL = _answer("Card of the model", {"type": "object"})
HEALTH = _answer(
    "Whether the server answers",
    _object(
        {
            "status": {"const": "ok"},
            "model": _DIGEST,
            "name": {"type": "string"},
            "engine": {"type": "string"},
        },
        ["status", "model", "name", "engine"],
    ),
)
METRICS: dict[str, Any] = {
    "summary": "Counts and latencies",
    "responses": {200: {"description": "Done.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
}
