"""Describes a loaded model as a `model` event, in one call of the process that serves it.

    from whydrift_schemas import encode
    from whydrift_schemas.collector import describe

    event = describe(model, model_id="credit-risk", model_version="2026.11.1", timestamp=time.time_ns() // 1_000_000)
    producer.send("whydrift.events", key=b"credit-risk", value=encode(event))

Belongs here: one file for each kind of model. No framework is imported: a model is known by the packages its classes come from,
and read through its own attributes. numpy is needed here, and only here: whoever has a model has it.
"""

from whydrift_schemas.collector.describe import describe

__all__ = ["describe"]
