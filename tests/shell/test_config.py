"""Configuration: what a file and the environment make of the defaults, and what is said of mistakes."""

import dataclasses
import json
import os
from pathlib import Path
from typing import get_type_hints

import pytest

from whydrift.config import BOUNDS, Config, ConfigError, load, printable
from whydrift.core.settings import Settings
from whydrift.shell.kafka_settings import KafkaSettings, Topics


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("WHYDRIFT_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "whydrift.yaml"


def refused(file: Path, content: str | bytes) -> list[str]:
    """The lines of the error."""
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError) as caught:
        load(file)
    return [line.strip() for line in str(caught.value).splitlines()]


# --- what is accepted


def test_without_file_and_variables_the_dataclasses_defaults_hold() -> None:
    assert load() == Config()
    assert load().core == Settings()
    assert load().kafka == KafkaSettings()


@pytest.mark.parametrize("content", ["", "# nothing\n", "core:\nkafka:\n  topics:\n"])
def test_an_empty_file_and_empty_sections_change_nothing(file: Path, content: str) -> None:
    file.write_text(content)
    assert load(file) == Config()


def test_a_file_changes_what_it_names(file: Path) -> None:
    file.write_text(
        "core: {chunk_events: 50, margin: 0.1}\n"
        "kafka: {bootstrap_servers: 'a:9092,b:9092', topics: {events: predictions}, security: {ca_file: ca.pem}}\n"
        "http: {port: 0}\nlog: {format: json}\nmetrics: {signals_per_model: 5}\nreferences: [a.ref, b.ref]\n"
    )
    config = load(file)
    assert (config.core.chunk_events, config.core.margin, config.core.baseline_events) == (50, 0.1, 2_000)
    assert config.kafka.topics == Topics(events="predictions")
    assert config.kafka.security.ca_file == Path("ca.pem")
    assert (config.http.port, config.log.format, config.metrics.signals_per_model) == (0, "json", 5)
    assert config.references == (Path("a.ref"), Path("b.ref"))


def test_the_environment_wins_over_the_file_field_by_field(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("kafka: {bootstrap_servers: 'file:1', group_id: from-file, topics: {events: a, state: b}}\n")
    monkeypatch.setenv("WHYDRIFT_KAFKA__BOOTSTRAP_SERVERS", "variable:1")
    monkeypatch.setenv("whydrift_kafka__topics__events", "c")
    monkeypatch.setenv("WHYDRIFT_REFERENCES", "one.ref, two.ref")
    monkeypatch.setenv("WHYDRIFT_KAFKA__CREATE_TOPICS", "true")
    monkeypatch.setenv("WHYDRIFT_CORE__MARGIN", "")
    config = load(file)
    assert (config.kafka.bootstrap_servers, config.kafka.group_id) == ("variable:1", "from-file")
    assert (config.kafka.topics.events, config.kafka.topics.state) == ("c", "b")
    assert config.references == (Path("one.ref"), Path("two.ref"))
    assert config.kafka.create_topics is True
    assert config.core.margin == Settings().margin, "an empty variable is none"


def test_a_section_may_be_given_as_json_in_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYDRIFT_HTTP", '{"port": 0}')
    assert load().http.port == 0


def test_what_kubernetes_sets_for_a_service_called_whydrift_is_not_taken_for_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "WHYDRIFT_SERVICE_HOST": "10.0.0.1",
        "WHYDRIFT_SERVICE_PORT_METRICS": "9108",
        "WHYDRIFT_PORT": "tcp://10.0.0.1:9108",
        "WHYDRIFT_PORT_9108_TCP_ADDR": "10.0.0.1",
        "WHYDRIFT_HTTP_PORT": "tcp://10.0.0.1:9108",
    }.items():
        monkeypatch.setenv(name, value)
    assert load() == Config()


# --- what is refused


def test_all_errors_are_told_at_once_each_with_path_value_and_what_to_do(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHYDRIFT_HTTP__PORT", "99999")
    lines = refused(
        file, "core: {chunk_events: many, margin: .inf}\nkafka: {client: confluent, group: a}\nmetric: {}\n"
    )
    assert lines == [
        f"6 errors in the configuration ({file} and the environment):",
        "core.chunk_events is 'many': must be a whole number from 2 to 10,000",
        "core.margin is inf: must be a number from 0 to 3",
        "kafka.client is 'confluent': must be one of kafka-python, librdkafka",
        "kafka.group: unknown key; did you mean kafka.group_id?",
        "http.port is '99999' (from WHYDRIFT_HTTP__PORT): must be a whole number from 0 to 65,535",
        "metric: unknown key; did you mean metrics?",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("core: {baseline_events: 5}", "core.baseline_events is 5: must be a whole number from 100 to 1,000,000"),
        ("core: {chunk_events: 20.5}", "core.chunk_events is 20.5: must be a whole number"),
        ("core: {margin: yes}", "core.margin is True: must be a number from 0 to 3"),
        ("core: {margin: null}", "core.margin is None: must be a number"),
        ("core: {margin: .nan}", "core.margin is nan: must be a number"),
        ("core: [1]", "core is a list: must be a section with some of: chunk_events"),
        ("kafka: 5", "kafka is 5: must be a section with some of: bootstrap_servers"),
        ("kafka: {group_id: 5}", "kafka.group_id is 5: must be text (in YAML: put it in quotes)"),
        ("kafka: {group_id: ''}", "kafka.group_id is '': must be text"),
        ("kafka: {group_id: no}", "kafka.group_id is False: must be text"),
        ("kafka: {create_topics: maybe}", "kafka.create_topics is 'maybe': must be true or false"),
        ("kafka: {bootstrap_servers: broker}", "bootstrap_servers is 'broker': must be HOST:PORT"),
        ("kafka: {topics: {events: a, state: a}}", "kafka.topics: must be four different topics, not a, "),
        ("kafka: {security: {protocol: SASL_SSL}}", "kafka.security: protocol SASL_SSL needs username and password"),
        ("kafka: {transaction_timeout_ms: 5000}", "kafka: transaction_timeout_ms is 5000: must be at least twice"),
        (
            "kafka: {reject_limits: {fraction: 1.5}}",
            "kafka.reject_limits.fraction is 1.5: must be a number from 0 to 1",
        ),
        ("group_id: a", "group_id: unknown key; did you mean kafka.group_id?"),
        ("http: {zzz: 1}", "http.zzz: unknown key; known here: host, port"),
        ("references: [5]", "references.0 is 5: must be text"),
        ("references: {a: b}", "references is a section: must be a list of paths"),
        ("log: {5: 6}", "log.5: unknown key"),
        ("log: {level: '" + "x" * 1_000 + "'}", "x…: must be one of debug, info, warning, error"),
    ],
)
def test_one_mistake_in_the_file_is_one_line(file: Path, content: str, said: str) -> None:
    headline, line = refused(file, content)
    assert headline == f"1 error in the configuration ({file} and the environment):"
    assert said in line
    assert len(line) < 400


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("kafka: [", "is not valid YAML, line 1: "),
        ("kafka:\n\tgroup_id: a", "is not valid YAML, line 2: "),
        ("http: {}\nkafka: {}\nhttp: {}", "is not valid YAML, line 3: 'http' is there twice"),
        ("- 1", "must be sections with names: core, kafka"),
        ("5: 6", "must be sections with names"),
        (b"core: \xff", "is not UTF-8 (byte 6)"),
        ("a: !!python/object:os.system {}", "is not valid YAML, line 1: could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_configuration_at_all_is_said_in_one_line(
    file: Path, content: str | bytes, said: str
) -> None:
    (line,) = refused(file, content)
    assert line.startswith(f"the configuration {file} ")
    assert said in line


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"whydrift\.yaml cannot be read: there is no such file"):
        load(file)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("WHYDRIFT_KAFKA_BOOTSTRAP_SERVERS", "two underscores: WHYDRIFT_KAFKA__BOOTSTRAP_SERVERS"),
        ("WHYDRIFT_KAFAK__CLIENT", "unknown variable; did you mean WHYDRIFT_KAFKA__CLIENT?"),
        ("WHYDRIFT_REFERENCE", "unknown variable; did you mean WHYDRIFT_REFERENCES?"),
        ("WHYDRIFT_KAFKA__CLEINT", "(from WHYDRIFT_KAFKA__CLEINT): unknown key; did you mean kafka.client?"),
        ("WHYDRIFT_KAFKA", 'field "kafka" from source "EnvSettingsSource" (Expecting value'),
        ("WHYDRIFT_ZZ__QQ", "unknown variable; the sections are core, kafka"),
    ],
)
def test_a_misspelt_variable_is_not_passed_over(monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigError) as caught:
        load()
    headline, line = str(caught.value).splitlines()
    assert headline == "1 error in the configuration (the environment):"
    assert said in line


# --- secrets


@pytest.mark.parametrize(
    "content",
    [
        "kafka: {security: {password: [hunter2]}}",
        "kafka: {security: {pasword: hunter2}}",
        "kafka: {security: hunter2}",
        "kafka:\n  security:\n    password: 'hunter2",
        "kafka: {security: {protocol: SASL_SSL, password: hunter2}}",
    ],
)
def test_no_error_repeats_a_password(file: Path, content: str) -> None:
    assert "hunter2" not in "".join(refused(file, content))


def test_what_is_printed_is_plain_and_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYDRIFT_KAFKA__SECURITY__PASSWORD", "hunter2")
    monkeypatch.setenv("WHYDRIFT_REFERENCES", "a.ref")
    config = load()
    assert config.kafka.security.password == "hunter2"
    printed = json.loads(json.dumps(printable(config)))
    assert printed["kafka"]["security"]["password"] == "(secret)"
    assert printed["references"] == ["a.ref"]
    assert "hunter2" not in json.dumps(printed) + repr(config)
    assert printable(Config())["kafka"]["security"]["password"] is None, "no secret is not a secret"


# --- the bounds


def numbers() -> list[tuple[type, str]]:
    sections = [hint for hint in get_type_hints(Config).values() if dataclasses.is_dataclass(hint)]
    sections += [hint for hint in get_type_hints(KafkaSettings).values() if dataclasses.is_dataclass(hint)]
    return [(s, name) for s in sections for name, hint in get_type_hints(s).items() if hint in (int, float)]


def test_every_number_has_bounds_and_its_default_lies_within() -> None:
    assert {section: {name for owner, name in numbers() if owner is section} for section in BOUNDS} == {
        section: set(bounds) for section, bounds in BOUNDS.items()
    }
    for section, name in numbers():
        low, high = BOUNDS[section][name]
        assert low <= getattr(section(), name) <= high
