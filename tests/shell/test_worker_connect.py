"""Choosing a client that is not there, or not whole."""

import pytest

from whydrift.shell import connect as connect_module
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
