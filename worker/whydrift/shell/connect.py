"""Chooses the Kafka client library by configuration.

Belongs here: the choice, and what is said when the chosen one is not installed. Not here: anything a client does.
"""

from importlib.util import find_spec

from whydrift.shell.clients import Client, KafkaSetupError
from whydrift.shell.files import unreadable
from whydrift.shell.kafka_settings import KafkaSettings


def connect(settings: KafkaSettings) -> Client:
    """A client for these brokers. Raises KafkaSetupError: a package is missing, or no broker answers."""
    _check(settings)
    if settings.client == "librdkafka":
        return _librdkafka(settings)
    return _kafka_python(settings)


def _check(settings: KafkaSettings) -> None:
    """What the client libraries would say later, in other words, or not at all."""
    security = settings.security
    if security.ca_file is not None:
        try:
            security.ca_file.open("rb").close()
        except OSError as error:
            why = unreadable(security.ca_file, error)
            raise KafkaSetupError(
                f"kafka.security.ca_file is {security.ca_file}, which cannot be read: {why}"
            ) from error
    if security.protocol.startswith("SASL") and not (security.username and security.password):
        raise KafkaSetupError(f"kafka.security.protocol is {security.protocol}: it needs username and password")
    if settings.transaction_timeout_ms < 2 * settings.request_timeout_ms:
        raise KafkaSetupError(
            f"kafka.transaction_timeout_ms is {settings.transaction_timeout_ms}: it must be at least twice "
            f"kafka.request_timeout_ms ({settings.request_timeout_ms}), or one slow answer costs a transaction"
        )


def _kafka_python(settings: KafkaSettings) -> Client:
    if find_spec("crc32c") is None:
        raise KafkaSetupError(
            "kafka.client is kafka-python, but the package crc32c is missing and every record would be checked six times slower: "
            "install it with `pip install 'kafka-python[crc32c]'`"
        )
    from whydrift.shell.kafka_python_client import KafkaPythonClient

    return KafkaPythonClient(settings)


def _librdkafka(settings: KafkaSettings) -> Client:
    if find_spec("confluent_kafka") is None:
        raise KafkaSetupError(
            "kafka.client is librdkafka, but the package confluent-kafka is missing: "
            "install it with `pip install 'whydrift[librdkafka]'`"
        )
    from whydrift.shell.librdkafka_client import LibrdkafkaClient

    return LibrdkafkaClient(settings)
