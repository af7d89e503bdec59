"""What all records of the contract share.

Belongs here: how strictly fields are read. Not here: any field.
"""

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    """Unknown fields, NaN, infinity and values of another type are refused; nothing changes once it is read.

    Of a field that a JSON object has twice, the last one counts, as in most JSON readers. What we write has every field.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_serialization_defaults_required=True,
    )
