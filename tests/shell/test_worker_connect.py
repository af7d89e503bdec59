"""Choosing a client that is not there, or not whole."""

from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from whydrift.shell import connect as connect_module
from whydrift.shell import kafka_python_client, librdkafka_client
from whydrift.shell.clients import KafkaSetupError
from whydrift.shell.connect import connect
from whydrift.shell.kafka_settings import ClientName, KafkaSettings, Security


@pytest.mark.parametrize(
    ("client", "missing", "said"),
    [
        ("kafka-python", "crc32c", r"crc32c is missing.*pip install 'kafka-python\[crc32c\]'"),
        ("librdkafka", "confluent_kafka", r"confluent-kafka is missing: .*pip install 'whydrift\[librdkafka\]'"),
    ],
)
def test_a_missing_package_fails_at_start_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, client: ClientName, missing: str, said: str
) -> None:
    monkeypatch.setattr(connect_module, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(KafkaSetupError, match=said):
        connect(KafkaSettings(client=client))


def test_a_password_is_not_in_what_settings_print() -> None:
    settings = KafkaSettings(security=Security(protocol="SASL_SSL", username="me", password="secret"))
    assert "secret" not in repr(settings)
    assert "me" in repr(settings)


def test_a_transaction_shorter_than_two_requests_is_refused() -> None:
    with pytest.raises(
        KafkaSetupError, match=r"kafka\.transaction_timeout_ms is 5000: .* kafka\.request_timeout_ms \(3000\)"
    ):
        connect(KafkaSettings(transaction_timeout_ms=5_000, request_timeout_ms=3_000))


SECURED = KafkaSettings(
    instance_id="pod-0",
    security=Security(
        protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-256", username="me", password="secret", ca_file=Path("ca.pem")
    ),
)


def test_kafka_python_knows_every_setting_it_is_given_by_name() -> None:
    given = kafka_python_client.common_settings(SECURED)
    for client in (KafkaConsumer, KafkaProducer, KafkaAdminClient):
        assert given.keys() <= client.DEFAULT_CONFIG.keys()
    assert {name: value for name, value in given.items() if name.startswith(("s", "client"))} == {
        "client_id": "whydrift-pod-0",
        "security_protocol": "SASL_SSL",
        "ssl_cafile": "ca.pem",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "me",
        "sasl_plain_password": "secret",
    }


def test_librdkafka_accepts_every_setting_it_is_given() -> None:
    given = librdkafka_client._common(SECURED)
    assert given["sasl.password"] == "secret"
    assert given["ssl.ca.location"] == "ca.pem"
    del given["ssl.ca.location"]
    AdminClient(given)


def test_a_certificate_file_that_is_not_there_is_named() -> None:
    with pytest.raises(
        KafkaSetupError, match=r"kafka\.security\.ca_file is ca\.pem, which cannot be read: there is no such file"
    ):
        connect(SECURED)


def test_sasl_without_a_password_is_refused() -> None:
    with pytest.raises(KafkaSetupError, match="SASL_PLAINTEXT: it needs username and password"):
        connect(KafkaSettings(security=Security(protocol="SASL_PLAINTEXT", username="me")))
