"""Configuration: a YAML file, and over it the environment (`WHYDRIFT_KAFKA__BOOTSTRAP_SERVERS`), checked as a whole at start.

Every error is told at once, with the field's path, its value and what to do. The fields, their types and defaults are those of
the frozen dataclasses (`core.settings`, `shell.kafka_settings`, `shell.telemetry_settings`); only their bounds are stated here.
Belongs here: reading, checking and printing. Not here: what a setting does.
"""

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from whydrift.core.settings import DAY_MS, Settings
from whydrift.shell.files import unreadable
from whydrift.shell.kafka_settings import KafkaSettings, RejectLimits, Security, Topics
from whydrift.shell.push.settings import Access, AlertmanagerSettings, Links, WebhookSettings
from whydrift.shell.telemetry_settings import HttpSettings, LogSettings, MetricsSettings

PREFIX: Final = "WHYDRIFT_"
NESTED: Final = "__"
FILE_VARIABLE: Final = "WHYDRIFT_CONFIG"
"""Path of the file, where `--config` is not given."""
SECRETS: Final = frozenset({"password", "bearer_token", "secret"})
REDACTED: Final = "(secret)"
LONGEST_SHOWN: Final = 60

BOUNDS: Final[Mapping[type, Mapping[str, tuple[float, float]]]] = {
    Settings: {
        "chunk_events": (2, 10_000),
        "chunk_span_ms": (1_000, DAY_MS),
        "baseline_events": (100, 1_000_000),
        "first_stage_events": (20, 1_000_000),
        "margin": (0, 3),
        "false_incidents_per_week": (0.000_1, 10_000),
        "label_ttl_ms": (1_000, 3_660 * DAY_MS),
        "join_capacity": (100, 10_000_000),
        "max_record_bytes": (1_000, 100_000_000),
        "max_features": (1, 100_000),
        "max_models": (1, 1_000_000),
        "max_ahead_ms": (1_000, 366 * DAY_MS),
        "update_interval_ms": (0, 7 * DAY_MS),
    },
    RejectLimits: {"in_a_row": (1, 1_000_000_000), "fraction": (0, 1), "of_last": (1, 10_000_000)},
    KafkaSettings: {
        "new_topic_partitions": (1, 10_000),
        "new_topic_replicas": (1, 100),
        "max_poll_records": (1, 100_000),
        "commit_interval_ms": (10, 10_000),
        "commit_records": (1, 1_000_000),
        "snapshot_interval_s": (0.1, 3_600),
        "restore_timeout_s": (1, 86_400),
        "request_timeout_ms": (100, 300_000),
        "transaction_timeout_ms": (1_000, 900_000),
        "session_timeout_ms": (1_000, 1_800_000),
    },
    HttpSettings: {"port": (0, 65_535), "unhealthy_after_s": (1, 86_400)},
    AlertmanagerSettings: {
        "timeout_s": (0.1, 60),
        "repeat_interval_s": (1, 3_600),
        "ends_after_s": (2, 86_400),
    },
    WebhookSettings: {"timeout_s": (0.1, 60), "queue_limit": (1, 1_000_000)},
    MetricsSettings: {"signals_per_model": (0, 10_000), "max_models": (0, 1_000_000)},
}
"""Smallest and greatest value of every number. Wide: they refuse mistakes of unit and typing, not taste."""


class ConfigError(Exception):
    """The operator must act. The message has a line for each thing that is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of a process. `references` are files made by `whydrift profile`."""

    core: Settings = dataclasses.field(default_factory=Settings)
    kafka: KafkaSettings = dataclasses.field(default_factory=KafkaSettings)
    http: HttpSettings = dataclasses.field(default_factory=HttpSettings)
    log: LogSettings = dataclasses.field(default_factory=LogSettings)
    metrics: MetricsSettings = dataclasses.field(default_factory=MetricsSettings)
    alertmanager: AlertmanagerSettings = dataclasses.field(default_factory=AlertmanagerSettings)
    webhook: WebhookSettings = dataclasses.field(default_factory=WebhookSettings)
    links: Links = dataclasses.field(default_factory=Links)
    references: tuple[Path, ...] = ()


def load(path: Path | None = None) -> Config:
    """The defaults, changed by the file, changed by the environment. Raises ConfigError."""
    document = {} if path is None else _read_yaml(path)
    problems = list(_misspelt_variables())
    try:
        model = _ROOT(**document)
    except ValidationError as error:
        problems += [_told(detail) for detail in error.errors(include_url=False)]
    except SettingsError as error:
        problems.append(f"{error} ({error.__cause__}): write one variable per field, as {PREFIX}SECTION{NESTED}FIELD")
    else:
        if not problems:
            filled: Config = _filled(Config, model)
            return filled
    where = "the environment" if path is None else f"{path} and the environment"
    count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
    raise ConfigError("\n  ".join([f"{count} in the configuration ({where}):", *problems]))


def printable(config: Config) -> dict[str, Any]:
    """Plain values for people and logs, without secrets."""
    plain: dict[str, Any] = _plain(config)
    return plain


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        items = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
        return {name: REDACTED if name in SECRETS and item else _plain(item) for name, item in items.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _filled(settings: type, model: BaseModel) -> Any:
    hints = get_type_hints(settings)
    values = {name: getattr(model, name) for name in hints}
    return settings(**{name: _filled(hints[name], v) if isinstance(v, BaseModel) else v for name, v in values.items()})


# --- rules between fields; what `shell.connect` would find later, one by one


def _topics_differ(topics: Any) -> str | None:
    names = [getattr(topics, one.name) for one in dataclasses.fields(Topics)]
    return None if len(set(names)) == len(names) else f"must be four different topics, not {', '.join(names)}"


def _security_is_whole(security: Any) -> str | None:
    if security.protocol.startswith("SASL") and not (security.username and security.password):
        return f"protocol {security.protocol} needs username and password"
    return None


def _timeouts_and_servers_fit(kafka: Any) -> str | None:
    if not all(re.fullmatch(r"\s*\S+:\d{1,5}\s*", server) for server in kafka.bootstrap_servers.split(",")):
        return f"bootstrap_servers is {kafka.bootstrap_servers!r}: must be HOST:PORT, several separated by commas"
    if kafka.transaction_timeout_ms < 2 * kafka.request_timeout_ms:
        return (
            f"transaction_timeout_ms is {kafka.transaction_timeout_ms}: must be at least twice request_timeout_ms "
            f"({kafka.request_timeout_ms}), or one slow answer costs a transaction"
        )
    return None


def _access_is_one(access: Any) -> str | None:
    basic = access.username or access.password or access.password_file
    if basic and (access.bearer_token or access.bearer_token_file):
        return "username and bearer_token are both given: leave one of them out"
    if bool(access.username) != bool(access.password or access.password_file):
        return "username and password (or password_file) belong together"
    if access.key_file and not access.certificate_file:
        return f"key_file is {access.key_file}: it needs certificate_file"
    return None


def _urls_are_http(section: Any) -> str | None:
    for url in section.urls:
        if not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", url):
            return f"urls has {url!r}: must be http://HOST:PORT or https://…, without credentials (access has them)"
    return None


def _alerts_outlast_repetitions(alertmanager: Any) -> str | None:
    if alertmanager.ends_after_s < 2 * alertmanager.repeat_interval_s:
        return (
            f"ends_after_s is {alertmanager.ends_after_s:g}: must be at least twice repeat_interval_s "
            f"({alertmanager.repeat_interval_s:g}), or one lost repetition ends every alert"
        )
    return _urls_are_http(alertmanager)


RULES: Final[Mapping[type, Callable[[Any], str | None]]] = {
    Topics: _topics_differ,
    Security: _security_is_whole,
    KafkaSettings: _timeouts_and_servers_fit,
    Access: _access_is_one,
    AlertmanagerSettings: _alerts_outlast_repetitions,
    WebhookSettings: _urls_are_http,
}
"""What is wrong with a section's fields taken together, or None."""


# --- the models: made from the dataclasses, so that a field is stated once


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Root(BaseSettings):
    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter=NESTED, env_ignore_empty=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings  # the first one wins


def _no_flag(value: Any) -> Any:
    """YAML reads `on` and `yes` as true, and pydantic reads true as 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "not a number")
    return value


def _split(value: Any) -> Any:
    """Several paths in one variable are separated by commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _field_type(owner: type, name: str, hint: Any) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        # `kafka:` with nothing below it is None in YAML.
        return Annotated[_model_of(hint), BeforeValidator(lambda value: {} if value is None else value)]
    if hint in (int, float):
        assert name in BOUNDS.get(owner, {}), f"whydrift.config.BOUNDS lacks {owner.__name__}.{name}"
        low, high = BOUNDS[owner][name]
        return Annotated[hint, BeforeValidator(_no_flag), Field(ge=low, le=high)]
    if hint is str:
        return Annotated[str, Field(min_length=1)]
    if get_origin(hint) is tuple:
        return Annotated[hint, NoDecode, BeforeValidator(_split)]
    return hint


def _fields_of(settings: type) -> Any:
    """(type, default) by name, as `create_model` wants them."""
    hints = get_type_hints(settings)
    fields = {}
    for one in dataclasses.fields(settings):
        is_section = dataclasses.is_dataclass(hints[one.name])
        default: Any = {} if is_section else one.default
        fields[one.name] = (
            _field_type(settings, one.name, hints[one.name]),
            Field(default=default, validate_default=is_section),
        )
    return fields


def _model_of(settings: type) -> type[BaseModel]:
    rule = RULES.get(settings)

    def keep_rule(self: Any) -> Any:
        broken = None if rule is None else rule(self)
        if broken is not None:
            raise PydanticCustomError("rule", "{broken}", {"broken": broken})
        return self

    validators: Any = {"keep_rule": model_validator(mode="after")(keep_rule)}
    return create_model(settings.__name__, __base__=_Section, __validators__=validators, **_fields_of(settings))


_ROOT: type[_Root] = create_model("Config", __base__=_Root, **_fields_of(Config))


# --- reading


class _StrictLoader(yaml.SafeLoader):
    """YAML says keys are unique; PyYAML takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except OSError as error:
        raise ConfigError(f"the configuration {path} cannot be read: {unreadable(path, error)}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the configuration {path} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        # Not str(error): it quotes the line, and the line may hold a password.
        at = f"line {error.problem_mark.line + 1}" if error.problem_mark else "an unknown line"
        raise ConfigError(f"the configuration {path} is not valid YAML, {at}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"the configuration {path} is not valid YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise ConfigError(f"the configuration {path} must be sections with names: {', '.join(_names(Config))}")
    return document


# --- telling what is wrong


def _told(detail: ErrorDetails) -> str:
    location = detail["loc"]
    path = ".".join(str(part) for part in location)
    variable = PREFIX + NESTED.join(str(part) for part in location).upper()
    origin = f" (from {variable})" if variable in {name.upper() for name in os.environ} else ""
    if detail["type"] in ("extra_forbidden", "invalid_key"):
        return f"{path}{origin}: unknown key; {_suggestion(location)}"
    if detail["type"] == "rule":
        return f"{path}: {detail['msg']}"
    return f"{path} is {_shown(location, detail['input'])}{origin}: must be {_wanted(location)}"


def _suggestion(location: Sequence[int | str]) -> str:
    owner, name = location[:-1], str(location[-1])
    known = _names(_hint(owner))
    near = get_close_matches(name, known, 1)
    elsewhere = [path for path in _paths() if path.rpartition(".")[2] == name]
    if near:
        return f"did you mean {'.'.join([*map(str, owner), near[0]])}?"
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    return f"known here: {', '.join(known)}"


def _shown(location: Sequence[int | str], value: Any) -> str:
    if SECRETS & set(location):
        return REDACTED
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "a section"
    if isinstance(value, str) and dataclasses.is_dataclass(_hint(location)):
        return "text"
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def _wanted(location: Sequence[int | str]) -> str:
    hint, owner = _hint(location), _hint(location[:-1])
    if dataclasses.is_dataclass(hint):
        return f"a section with some of: {', '.join(_names(hint))}"
    if hint in (int, float):
        low, high = BOUNDS[owner][str(location[-1])]
        return f"a {'whole ' if hint is int else ''}number from {low:,} to {high:,}"
    if get_origin(hint) is Literal:
        return f"one of {', '.join(get_args(hint))}"
    if hint is bool:
        return "true or false"
    return "a list of paths" if get_origin(hint) is tuple else "text (in YAML: put it in quotes)"


def _hint(location: Sequence[int | str]) -> Any:
    hint: Any = Config
    for part in location:
        hint = get_type_hints(hint)[str(part)] if dataclasses.is_dataclass(hint) else get_args(hint)[0]
    return hint


def _names(settings: Any) -> list[str]:
    return [one.name for one in dataclasses.fields(settings)]


def _paths(settings: type = Config, before: str = "") -> Iterator[str]:
    """Of all fields: `kafka.topics.events`."""
    for name, hint in get_type_hints(settings).items():
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from _paths(hint, f"{before}{name}.")
        else:
            yield before + name


def _misspelt_variables() -> Iterator[str]:
    """Variables that look like ours and would be passed over in silence.

    Not every WHYDRIFT_… is ours: Kubernetes sets WHYDRIFT_SERVICE_HOST, WHYDRIFT_PORT=tcp://… for a service called whydrift.
    """
    known = {PREFIX + path.upper().replace(".", NESTED) for path in _paths()}
    joined = {name.replace(NESTED, "_"): name for name in known}
    sections = _names(Config)
    for name, value in sorted(os.environ.items()):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known or upper == FILE_VARIABLE or "://" in value:
            continue
        first, nested, _ = upper.removeprefix(PREFIX).lower().partition(NESTED)
        if upper in joined:
            yield f"{name}: unknown variable; between section and field go two underscores: {joined[upper]}"
        elif first not in sections or (nested and first == "references"):
            near = get_close_matches(upper, known, 1, 0.75 if nested else 0.9)
            if near:
                yield f"{name}: unknown variable; did you mean {near[0]}?"
            elif nested:
                yield f"{name}: unknown variable; the sections are {', '.join(sections)}"
