"""Records as bytes, and the contract as JSON Schema.

Belongs here: spelling. Not here: fields (`events`, `diagnosis`) or reading at speed (the worker's `decode`).
"""

import json
from collections.abc import Mapping
from typing import Any

from whydrift_schemas.diagnosis import Diagnosis
from whydrift_schemas.events import Command, Label, ModelDescription, Prediction
from whydrift_schemas.wire import Wire

_INPUTS: Mapping[str, type[Wire]] = {
    "prediction": Prediction,
    "label": Label,
    "model": ModelDescription,
    "command": Command,
}


def encode(model: Wire) -> bytes:
    """Canonical JSON: the contract's field order, UTF-8, no blanks, shortest floats, null where there is nothing.

    Mappings keep their order: the order of features is that of the model's inputs.
    """
    return model.model_dump_json().encode()


def json_schemas() -> dict[str, str]:
    """JSON Schema (2020-12) of each kind by file name. The models decide; rules between fields are theirs alone."""
    schemas = {kind: model.model_json_schema(mode="validation") for kind, model in _INPUTS.items()}
    schemas["diagnosis"] = Diagnosis.model_json_schema(mode="serialization")
    return {f"{kind}.schema.json": _written(schema) for kind, schema in schemas.items()}


def _written(schema: dict[str, Any]) -> str:
    # In Python `kind` goes without saying; on the wire it does not.
    required = ["kind", *(name for name in schema["required"] if name != "kind")]
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "required": required}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
