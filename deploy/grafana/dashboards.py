"""The three dashboards: fleet (who is ill, since when, why), model, worker. `deploy/generate.py` writes them as JSON.

Names of metrics come from the catalogue, so that a renamed one fails here and not on somebody's wall.
Belongs here: panels and their queries. Not here: where they are written (`deploy/generate.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import common, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
    TextBoxVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from whydrift.shell.metrics import Metric

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HALF, THIRD, WHOLE = 12, 8, 24
"""Widths, of 24."""
UIDS = {"fleet": "whydrift-fleet", "model": "whydrift-model", "worker": "whydrift-worker"}


def name(metric: Metric, suffix: str = "") -> str:
    return metric.value.name + suffix


def query(
    expr: str,
    legend: str = "",
    ref: str = "A",
    *,
    now: bool = False,
    as_table: bool = False,
    exemplars: bool = False,
) -> Dataquery:
    """`exemplars`: ask for them, too; they are drawn over the lines, and each has its incident's id."""
    made = Dataquery().expr(expr).ref_id(ref).datasource(SOURCE).legend_format(legend or "__auto")
    if exemplars:
        made = made.exemplar(True)
    if as_table:
        made = made.format(PromQueryFormat.TABLE)
    return made.instant() if now else made.range()


def refs(queries: Sequence[tuple[str, str]], **options: bool) -> list[Dataquery]:
    return [query(expr, legend, chr(ord("A") + place), **options) for place, (expr, legend) in enumerate(queries)]


def lines(
    title: str, says: str, unit: str, *queries: tuple[str, str], span: int = HALF, exemplars: bool = False
) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
    )
    made = timeseries.Panel().title(title).description(says).unit(unit).datasource(SOURCE).height(8).span(span)
    made = (
        made.legend(legend)
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .targets(refs(queries, exemplars=exemplars))
    )
    return made.line_width(1.5).fill_opacity(5)


def number(title: str, says: str, unit: str, expr: str, steps: Sequence[tuple[float | None, str]]) -> stat.Panel:
    colours = [Threshold(value=value, color=colour) for value, colour in steps]
    limits = ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(colours)
    made = stat.Panel().title(title).description(says).unit(unit).datasource(SOURCE).height(4).span(4)
    return made.thresholds(limits).targets([query(expr, now=True)])


GOOD_AT_ZERO: Sequence[tuple[float | None, str]] = ((None, "green"), (1, "red"))
GOOD_AT_ONE: Sequence[tuple[float | None, str]] = ((None, "red"), (1, "green"))
PLAIN: Sequence[tuple[float | None, str]] = ((None, "blue"),)


def incidents(selector: str) -> table.Panel:
    """Open incidents with probability and onset: three queries, joined by model and fault."""
    by = "model_id, fault"
    queries = [
        (f"max by ({by}, severity) ({name(Metric.INCIDENTS_OPEN)}{selector}) > 0", ""),
        (f"max by ({by}) ({name(Metric.INCIDENT_PROBABILITY)}{selector})", ""),
        (f"1000 * min by ({by}) ({name(Metric.INCIDENT_ONSET)}{selector})", ""),
    ]
    rename = {"Value #A": "open", "Value #B": "probability", "Value #C": "since", "model_id": "model"}
    tidy = {
        "excludeByName": {"Time": True},
        "renameByName": rename,
        "indexByName": {"model_id": 0, "severity": 1, "fault": 2},
    }
    made = table.Panel().title("Open incidents").datasource(SOURCE).height(9).span(WHOLE)
    made = made.description("Who is ill, what it is taken for, how sure that is, and since when.")
    made = made.targets(refs(queries, now=True, as_table=True))
    made = made.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    made = made.with_transformation(DataTransformerConfig(id_val="organize", options=tidy))
    link = {
        "title": "to the model",
        "url": f"/d/{UIDS['model']}?var-model_id=${{__data.fields.model}}&${{__url_time_range}}",
    }
    page = {"title": "its page", "url": "${whydrift_url}/models/${__data.fields.model}", "targetBlank": True}
    made = made.override_by_name("model", [_property("links", [link, page])])
    made = made.override_by_name("since", [_property("unit", "dateTimeFromNow")])
    return made.override_by_name("probability", [_property("unit", "percentunit")])


def identities() -> table.Panel:
    """Each open incident under its id, which is in its alert, too; two queries, joined by model and id."""
    by = "model_id, incident_id"
    queries = [
        (f"max by ({by}, opened_as, severity) ({name(Metric.INCIDENT)})", ""),
        (f"1000 * min by ({by}) ({name(Metric.INCIDENT_SINCE)})", ""),
    ]
    rename = {"Value #B": "since", "model_id": "model", "incident_id": "incident", "opened_as": "opened as"}
    tidy = {
        "excludeByName": {"Time": True, "Value #A": True},
        "renameByName": rename,
        "indexByName": {"model_id": 0, "severity": 1, "opened_as": 2, "Value #B": 3, "incident_id": 4},
    }
    made = table.Panel().title("Incidents, one by one").datasource(SOURCE).height(9).span(WHOLE)
    made = made.description(
        "What each was opened as, since when it is so, and the way to its page, which says the rest."
    )
    made = made.targets(refs(queries, now=True, as_table=True))
    made = made.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    made = made.with_transformation(DataTransformerConfig(id_val="organize", options=tidy))
    page = {"title": "its page", "url": "${whydrift_url}/incidents/${__data.fields.incident}", "targetBlank": True}
    made = made.override_by_name("incident", [_property("links", [page])])
    return made.override_by_name("since", [_property("unit", "dateTimeFromNow")])


def _property(id_: str, value: object) -> Any:
    return DynamicConfigValue(id_val=id_, value=value)


def _dashboard(key: str, title: str, says: str) -> Dashboard:
    made = Dashboard(title).uid(UIDS[key]).description(says).tags(["whydrift"]).time("now-6h", "now").refresh("1m")
    made = made.with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    url = TextBoxVariable("whydrift_url").label("status pages").default_value("http://localhost:9108")
    links = DashboardLink("whydrift").type(DashboardLinkType.DASHBOARDS).tags(["whydrift"]).keep_time(True)
    return made.with_variable(url).link(links)


def fleet() -> Dashboard:
    made = _dashboard("fleet", "whydrift: fleet", "Who is ill, since when, and why.")
    incident_count = f"sum({name(Metric.INCIDENTS)})"
    ill = f"count(max by (model_id) ({name(Metric.INCIDENTS)}) > 0) or vector(0)"
    traffic = f"sum by (model_id) (rate({name(Metric.EVENTS)}[5m]))"
    coverage = f"min by (model_id) ({name(Metric.LABEL_COVERAGE)})"
    opened = f"sum by (fault) (increase({name(Metric.INCIDENTS_OPENED)}[1h])) > 0 or vector(0)"
    nearest = f"max by (model_id) ({name(Metric.EVIDENCE)} / {name(Metric.THRESHOLD)})"
    return (
        made.with_panel(number("Open incidents", "Of all models.", "short", incident_count, GOOD_AT_ZERO))
        .with_panel(number("Models ill", "With at least one open incident.", "short", ill, GOOD_AT_ZERO))
        .with_panel(number("Models followed", "By all workers.", "short", f"sum({name(Metric.MODELS)})", PLAIN))
        .with_panel(
            number(
                "Workers ready",
                "All of them, or records wait.",
                "percentunit",
                f"avg({name(Metric.READY)})",
                GOOD_AT_ONE,
            )
        )
        .with_panel(number("Lag", "Records not yet processed.", "short", f"sum({name(Metric.PARTITION_LAG)})", PLAIN))
        .with_panel(number("Events", "Predictions a second.", "short", f"sum(rate({name(Metric.EVENTS)}[5m]))", PLAIN))
        .with_panel(incidents(""))
        .with_panel(identities())
        .with_panel(
            lines(
                "Incidents opened, by fault",
                "Within the hour before; exemplars carry the ids of incidents.",
                "short",
                (opened, "{{fault}}"),
                exemplars=True,
            )
        )
        .with_panel(
            lines(
                "Closest to an alarm",
                "Evidence of the strongest signal as a part of its threshold: 1 is an alarm. The ten models nearest to it.",
                "percentunit",
                (f"topk(10, {nearest})", "{{model_id}}"),
            )
        )
        .with_panel(
            lines(
                "Busiest models",
                "Predictions a second; ten of them.",
                "reqps",
                (f"topk(10, {traffic})", "{{model_id}}"),
            )
        )
        .with_panel(
            lines(
                "Fewest labels",
                "Part of the predictions that got their label; ten models.",
                "percentunit",
                (f"bottomk(10, {coverage})", "{{model_id}}"),
            )
        )
    )


def model() -> Dashboard:
    made = _dashboard(
        "model", "whydrift: model", "One model: its signals against their thresholds, its performance, its incidents."
    )
    # Thousands of models: the list is searched by typing, and the fleet's tables link here.
    chosen = QueryVariable("model_id").label("model").datasource(SOURCE).sort(VariableSort.ALPHABETICAL_ASC)
    chosen = chosen.query(f"label_values({name(Metric.EVENTS)}, model_id)").refresh(
        VariableRefresh.ON_TIME_RANGE_CHANGED
    )
    one = '{model_id="$model_id"}'
    open_now = f"max by (fault, severity) ({name(Metric.INCIDENTS_OPEN)}{one}) > 0"
    noted = AnnotationQuery().name("incidents").datasource(SOURCE).icon_color("red").enable(True).expr(open_now)
    evidence, threshold = name(Metric.EVIDENCE) + one, name(Metric.THRESHOLD) + one

    def performance(metric: str) -> str:
        chosen = f'model_id="$model_id", metric="{metric}", window="recent"'
        return f"max by (model_version) ({name(Metric.PERFORMANCE)}{{{chosen}}})"

    others = f'{name(Metric.PERFORMANCE)}{{model_id="$model_id", window="recent", metric!~"loss.*|n|.*_per_day.*|estimate.*"}}'

    def estimated(end: str) -> str:
        chosen = f'model_id="$model_id", metric=~"estimated_(log_loss|mae|error_rate){end}"'
        return f"max by (metric, model_version) ({name(Metric.PERFORMANCE)}{{{chosen}}})"

    def of_estimates(metric: str) -> str:
        return f'max by (model_version) ({name(Metric.PERFORMANCE)}{{model_id="$model_id", metric="{metric}"}})'

    return (
        made.with_variable(chosen)
        .annotation(noted)
        .with_panel(incidents(one))
        .with_row(Row("Signals"))
        .with_panel(
            lines(
                "Evidence against thresholds",
                "log10 of e-values: the ten strongest signals, and the threshold at which they alarm.",
                "short",
                (f"topk(10, max by (signal) ({evidence}))", "{{signal}}"),
                (f"max({threshold})", "threshold"),
            )
        )
        .with_panel(
            lines(
                "Probability of the leading cause",
                "Of open incidents.",
                "percentunit",
                (f"max by (fault) ({name(Metric.INCIDENT_PROBABILITY)}{one})", "{{fault}}"),
            )
        )
        .with_row(Row("Performance"))
        .with_panel(
            lines(
                "Mean loss with its interval",
                "Of the latest labels, by version; 95 %.",
                "short",
                (performance("loss"), "{{model_version}}"),
                (performance("loss_low"), "{{model_version}} low"),
                (performance("loss_high"), "{{model_version}} high"),
            )
        )
        .with_panel(
            lines(
                "Other metrics",
                "Of the latest labels.",
                "short",
                (f"max by (metric, model_version) ({others})", "{{metric}} {{model_version}}"),
            )
        )
        .with_panel(
            lines(
                "Loss estimated without labels",
                "What labels of the latest answers are expected to show, with its interval of 95 %, beside what labels that "
                "have come show. It ends while it is withdrawn.",
                "short",
                (estimated(""), "{{metric}} {{model_version}}"),
                (estimated("_low"), "{{metric}} {{model_version}}"),
                (estimated("_high"), "{{metric}} {{model_version}}"),
                (performance("loss"), "loss by labels {{model_version}}"),
            )
        )
        .with_panel(
            lines(
                "Whether the estimate holds",
                "Part of the blocks of later labels that were in its interval, about 95 % in health; 1 while it is withdrawn.",
                "percentunit",
                (of_estimates("estimated_coverage"), "in the interval {{model_version}}"),
                (of_estimates("estimate_withdrawn"), "withdrawn {{model_version}}"),
            )
        )
        .with_row(Row("Traffic and labels"))
        .with_panel(
            lines(
                "Events and labels",
                "A second.",
                "reqps",
                (f"sum(rate({name(Metric.EVENTS)}{one}[5m]))", "predictions"),
                (f"sum(rate({name(Metric.LABELS)}{one}[5m]))", "labels"),
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Label delay",
                "Median, from prediction to label.",
                "s",
                (f"max({name(Metric.LABEL_DELAY)}{one})", "delay"),
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Coverage and reference",
                "Part of the predictions with a label; part of the reference that is learnt.",
                "percentunit",
                (f"min({name(Metric.LABEL_COVERAGE)}{one})", "label coverage"),
                (f"min({name(Metric.BASELINE)}{one})", "reference learnt"),
                span=THIRD,
            )
        )
    )


def worker() -> Dashboard:
    made = _dashboard("worker", "whydrift: worker", "Whether the workers keep up, and what they cost.")

    def quantile(metric: Metric, q: float) -> str:
        return f"histogram_quantile({q}, sum by (le) (rate({name(metric, '_bucket')}[5m])))"

    failures = f"sum by (target, reason) (rate({name(Metric.SINK_FAILED)}[5m])) > 0 or vector(0)"
    rejects = f"sum by (reason) (rate({name(Metric.REJECTS)}[5m])) > 0 or vector(0)"
    return (
        made.with_panel(
            number("Workers alive", "Their loops go round.", "percentunit", f"avg({name(Metric.UP)})", GOOD_AT_ONE)
        )
        .with_panel(
            number("Ready", "All partitions restored.", "percentunit", f"avg({name(Metric.READY)})", GOOD_AT_ONE)
        )
        .with_panel(
            number(
                "Failed transactions",
                "Within the last hour.",
                "short",
                f"sum(increase({name(Metric.FAILED_TRANSACTIONS)}[1h]))",
                GOOD_AT_ZERO,
            )
        )
        .with_panel(number("Models", "Followed.", "short", f"sum({name(Metric.MODELS)})", PLAIN))
        .with_panel(number("Series", "On the metrics pages.", "short", f"sum({name(Metric.SERIES)})", PLAIN))
        .with_panel(
            number(
                "Models without series",
                "Beyond metrics.max_models.",
                "short",
                f"sum({name(Metric.MODELS_LEFT_OUT)})",
                GOOD_AT_ZERO,
            )
        )
        .with_panel(
            lines(
                "Records",
                "Processed and published, a second.",
                "reqps",
                (f"sum by (instance) (rate({name(Metric.RECORDS)}[5m]))", "{{instance}}"),
            )
        )
        .with_panel(
            lines(
                "Lag",
                "Records not yet processed, by partition.",
                "short",
                (f"max by (partition) ({name(Metric.PARTITION_LAG)})", "{{partition}}"),
            )
        )
        .with_panel(
            lines(
                "Commits",
                "How long transactions take.",
                "s",
                (quantile(Metric.COMMIT_DURATION, 0.5), "median"),
                (quantile(Metric.COMMIT_DURATION, 0.99), "P99"),
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Turns",
                "How long the loop works on one poll.",
                "s",
                (quantile(Metric.TURN_DURATION, 0.5), "median"),
                (quantile(Metric.TURN_DURATION, 0.99), "P99"),
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Ages",
                "Since the last record, the last commit, the last turn of the loop (large: it hangs).",
                "s",
                (f"max({name(Metric.RECORD_AGE)})", "record"),
                (f"max({name(Metric.COMMIT_AGE)})", "commit"),
                (f"max({name(Metric.TURN_AGE)})", "turn of the loop"),
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "What whydrift adds",
                "From reading a record to its commit.",
                "s",
                (quantile(Metric.DELAY, 0.5), "median"),
                (quantile(Metric.DELAY, 0.99), "P99"),
                span=THIRD,
            )
        )
        .with_panel(lines("Rejected records", "A second, by reason.", "reqps", (rejects, "{{reason}}"), span=THIRD))
        .with_panel(
            lines(
                "Restored",
                "Of each partition's state.",
                "percentunit",
                (f"min by (partition) ({name(Metric.PARTITION_RESTORED)})", "{{partition}}"),
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Rebalances and snapshots",
                "Within the hour before.",
                "short",
                (f"sum(increase({name(Metric.REBALANCES)}[1h]))", "rebalances"),
                (f"sum(increase({name(Metric.SNAPSHOTS)}[1h]))", "snapshots"),
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Memory",
                "Resident.",
                "bytes",
                ('process_resident_memory_bytes{job="whydrift"}', "{{instance}}"),
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "CPU",
                "Cores.",
                "short",
                ('rate(process_cpu_seconds_total{job="whydrift"}[5m])', "{{instance}}"),
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Pushed incidents",
                "Incidents with news that a receiver has not got, and failures a second.",
                "short",
                (f"sum by (target) ({name(Metric.SINK_WAITING)})", "waiting for {{target}}"),
                (failures, "{{target}} {{reason}}"),
                span=THIRD,
            )
        )
    )


def _json(make: Callable[[], Dashboard]) -> Callable[[], str]:
    return lambda: JSONEncoder(sort_keys=True, indent=2).encode(make().build()) + "\n"


DASHBOARDS: Mapping[str, Callable[[], str]] = {"fleet": _json(fleet), "model": _json(model), "worker": _json(worker)}
"""JSON by name."""
