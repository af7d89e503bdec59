"""Real tables in their natural order of time: `python tests/bench/natural_order.py DATA_FOLDER [--tables bike metro …] …`.

Hourly bike rentals, hourly road traffic, half-hourly electricity prices; out of packages (see `packaged_tables`) half-hourly
demand for electricity, days of trains, bookings of a hotel, hours of nitrogen oxides: each with its seasons, growth and gaps. A
model trained on the first 35 % of the rows answers the others; the next 25 % are the reference; the rest is live: healthy, and
then with one fault at a time from 65 % of it on (those of detection.md at three severities).

Prints, for each table, the false incidents of the healthy stream (tickets of severity `info` apart) per 30 model-days, and the
share of faults found with the median delay in events. Found: an incident opened after the break that the healthy stream, from
the same state, does not have at about that time.

--reference ordered: from the 25 % in order; shuffled: from rows drawn over the first 60 %; none: from the first live events.
--clock natural: the table's own time; even: an event every five seconds. --order shuffled: all rows shuffled, to compare.
Belongs here: such streams, faults on them, and counting. Not here: tables and models (`real_tables`).
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import packaged_tables
from real_tables import SEED, Answers, Row, read_table, train, typed

from whydrift.core.pipeline import Pipeline
from whydrift.core.profile import read_profile
from whydrift.core.profiler import Profiler
from whydrift.core.records import Emit, Record
from whydrift.core.settings import Settings
from whydrift_schemas import Diagnosis, Severity, Status
from whydrift_schemas.diagnosis import Detected

TRAINED, REFERENCE, BREAKS_AT = 0.35, 0.25, 0.65
EVEN_GAP_MS = 5_000
LABEL_DELAY_MS, LABEL_DELAY_SPREAD = 30 * 60_000, 0.4
DAY_MS = 86_400_000
START_MS = 1_325_376_000_000
MODEL_ID = "natural"
_SAME_MOMENT = 400
"""Records, labels among them: a fault of one input moves by some rows what is said of another."""
Draw = np.random.Generator


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in order of time, what came true, and when: (rows,) each. classes: positive and negative, None for a regression."""

    rows: Sequence[Row]
    truth: Sequence[float]
    times_ms: Sequence[int]
    classes: tuple[str, str] | None = None

    def take(self, places: Sequence[int]) -> "Table":
        picked = [[part[place] for place in places] for part in (self.rows, self.truth, self.times_ms)]
        return Table(*picked, self.classes)


# --- tables


def _bike(folder: Path) -> Table:
    """Hours without any rental have no row: the clock is the table's own days and hours, not the row number."""
    rows = read_table(folder / "tabular/bike_hour.csv.gz")
    days = np.cumsum(np.diff([row["weekday"] for row in rows], prepend=rows[0]["weekday"]) != 0).tolist()
    times = [START_MS + day * DAY_MS + row["hr"] * 3_600_000 for day, row in zip(days, rows, strict=True)]
    truth = [row.pop("cnt") for row in rows]
    for row in rows:
        del row["instant"], row["casual"], row["registered"]
    return Table(rows, truth, times)


def _metro(folder: Path) -> Table:
    rows, times = read_table(folder / "tabular/metro_traffic.csv.gz"), []
    for row in rows:
        at = datetime.fromisoformat(row.pop("date_time")).replace(tzinfo=UTC)
        times.append(int(at.timestamp() * 1_000))
        row |= {"hour": at.hour, "weekday": at.strftime("%a"), "month": at.month}
        del row["weather_description"]
    return Table(rows, [row.pop("traffic_volume") for row in rows], times)


def _elec(folder: Path) -> Table:
    """Electricity prices in New South Wales; without the columns that stand still until row 17,424."""
    rows = read_table(folder / "drift/elec.csv.gz")
    for row in rows:
        del row["vicprice"], row["vicdemand"], row["transfer"]
    truth = [float(row.pop("class")) for row in rows]
    return Table(rows, truth, [START_MS + place * 1_800_000 for place in range(len(rows))], ("up", "down"))


def _demand(folder: Path) -> Table:
    """Half hours of Victoria's electricity in 2014, with what was used a day and a week before."""
    rows = packaged_tables.in_order("fpp2/elecdemand", "Demand WorkDay Temperature", typed)
    truth = [float(row.pop("Demand")) for row in rows]
    for place, row in enumerate(rows):
        row |= {"half_hour": place % 48, "weekday": place // 48 % 7}
        row |= {"yesterday": truth[max(place - 48, 0)], "last_week": truth[max(place - 336, 0)]}
    return Table(rows, truth, [START_MS + place * 1_800_000 for place in range(len(rows))])


def _ridership(folder: Path) -> Table:
    """Days of Chicago's trains from 2001 on, with what stations had two weeks before, and the weather."""
    stations = "Austin Quincy_Wells Belmont Oak_Park Clark_Lake Clinton Merchandise_Mart Addison"
    weather = "temp_min temp temp_max dew humidity pressure wind_max percip weather_rain weather_snow weather_cloud"
    rows = packaged_tables.in_order("modeldata/Chicago", f"ridership date {stations} {weather} Cubs_Home", typed)
    times = []
    for row in rows:
        day = datetime.fromisoformat(row.pop("date")).replace(tzinfo=UTC)
        times.append(int(day.timestamp() * 1_000))
        row |= {"weekday": day.strftime("%a"), "month": day.month}
    return Table(rows, [float(row.pop("ridership")) for row in rows], times)


def _nights(folder: Path) -> Table:
    """Bookings of a hotel in order of arrival, those of a day spread over it."""
    names = "avg_price_per_room arrival_date lead_time stays_in_weekend_nights stays_in_week_nights adults children meal country"
    more = "market_segment customer_type reserved_room_type booking_changes total_of_special_requests historical_adr"
    rows = packaged_tables.in_order("modeldata/hotel_rates", f"{names} {more}", typed)
    rows.sort(key=lambda row: str(row["arrival_date"]))
    days = [datetime.fromisoformat(row.pop("arrival_date")).replace(tzinfo=UTC) for row in rows]
    arrivals, so_far, times = Counter(days), Counter[datetime](), []
    for day, row in zip(days, rows, strict=True):
        times.append(int(day.timestamp() * 1_000) + DAY_MS * so_far[day] // arrivals[day])
        so_far[day] += 1
        row |= {"weekday": day.strftime("%a"), "month": day.month}
    return Table(rows, [float(row.pop("avg_price_per_room")) for row in rows], times)


def _oxides(folder: Path) -> Table:
    """Hours of nitrogen oxides beside a motorway, with its cars and the wind."""
    rows = packaged_tables.in_order("robustbase/NOxEmissions", "LNOx rownames LNOxEm sqrtWS", typed)
    hours = [int(row.pop("rownames")) for row in rows]
    for hour, row in zip(hours, rows, strict=True):
        row |= {"hour": hour % 24, "weekday": hour // 24 % 7}
    return Table(rows, [float(row.pop("LNOx")) for row in rows], [START_MS + hour * 3_600_000 for hour in hours])


TABLES = {
    "bike": _bike,
    "metro": _metro,
    "elec": _elec,
    "demand": _demand,
    "ridership": _ridership,
    "nights": _nights,
    "oxides": _oxides,
}


# --- faults: what a row, an answer or a latency becomes; (draw, severity 0 … 2) → change


@dataclass(frozen=True, slots=True)
class Live:
    """The live part from the break on, to be broken: answers by row, latencies in milliseconds."""

    rows: list[Row]
    answers: list[float]
    truth: list[float]
    latencies: list[float]


Break = Callable[[Live, Draw, int, "Setting"], None]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a fault may need to know: a quantity and a category to break, another quantity, health, another model."""

    numeric: str
    other: str
    category: str | None
    healthy: Sequence[Row]
    answers: Answers
    other_model: Answers

    def values(self, name: str) -> np.ndarray:
        return np.array([row[name] for row in self.healthy if row[name] is not None], float)


def _some(draw: Draw, rows: int, share: float) -> list[int]:
    return np.flatnonzero(draw.random(rows) < share).tolist()


def _set(share: Sequence[float], value: Sequence[object], coded: bool = False) -> Break:
    def broken(live: Live, draw: Draw, severity: int, setting: Setting) -> None:
        name = setting.category if coded else setting.numeric
        if name is not None:
            for place in _some(draw, len(live.rows), share[severity]):
                live.rows[place][name] = value[severity]

    return broken


def _map(change: Callable[[np.ndarray, np.ndarray, Draw, int], np.ndarray]) -> Break:
    """change(values, healthy values, draw, severity) of the quantity."""

    def broken(live: Live, draw: Draw, severity: int, setting: Setting) -> None:
        there = [row for row in live.rows if row[setting.numeric] is not None]
        values = np.array([row[setting.numeric] for row in there], float)
        changed = change(values, setting.values(setting.numeric), draw, severity)
        for row, value in zip(there, changed.tolist(), strict=True):
            row[setting.numeric] = round(value, 6)

    return broken


def _stuck(live: Live, draw: Draw, severity: int, setting: Setting) -> None:
    value = live.rows[0][setting.numeric]
    for place in _some(draw, len(live.rows), (0.1, 0.3, 1.0)[severity]):
        live.rows[place][setting.numeric] = value


def _joined(live: Live, draw: Draw, severity: int, setting: Setting) -> None:
    places = _some(draw, len(live.rows), (0.2, 0.5, 1.0)[severity])
    values = [live.rows[place][setting.numeric] for place in draw.permutation(places).tolist()]
    for place, value in zip(places, values, strict=True):
        live.rows[place][setting.numeric] = value


def _swapped(live: Live, draw: Draw, severity: int, setting: Setting) -> None:
    for place in _some(draw, len(live.rows), (0.05, 0.2, 1.0)[severity]):
        row = live.rows[place]
        row[setting.numeric], row[setting.other] = row[setting.other], row[setting.numeric]


def _recoded(live: Live, draw: Draw, severity: int, setting: Setting) -> None:
    if setting.category is not None:
        for place in _some(draw, len(live.rows), (0.05, 0.3, 1.0)[severity]):
            value = live.rows[place][setting.category]
            live.rows[place][setting.category] = value.upper() if isinstance(value, str) else value


def _truth(live: Live, draw: Draw, severity: int, setting: Setting) -> None:
    truth = np.array(live.truth, float)
    if set(truth.tolist()) <= {0.0, 1.0}:
        flipped = draw.random(len(truth)) < (0.03, 0.1, 0.3)[severity]
        truth = np.where(flipped, 1 - truth, truth)
    else:
        truth += (0.05, 0.15, 0.5)[severity] * truth.std()
    live.truth[:] = truth.tolist()


def _answer(change: Callable[[np.ndarray, Draw, int], np.ndarray]) -> Break:
    def broken(live: Live, draw: Draw, severity: int, setting: Setting) -> None:
        answers = np.array(live.answers)
        is_score = answers.min() >= 0 and answers.max() <= 1
        changed = change(answers, draw, severity)
        live.answers[:] = (np.clip(changed, 0, 1) if is_score else changed).tolist()

    return broken


def _constant(answers: np.ndarray, draw: Draw, severity: int) -> np.ndarray:
    return np.where(draw.random(len(answers)) < (0.02, 0.1, 1.0)[severity], answers.mean(), answers)


def _other_model(live: Live, draw: Draw, severity: int, setting: Setting) -> None:
    others = setting.other_model(live.rows)
    for place in _some(draw, len(live.rows), (0.1, 0.5, 1.0)[severity]):
        live.answers[place] = others[place]


def _latency(live: Live, draw: Draw, severity: int, setting: Setting) -> None:
    live.latencies[:] = [one * (1.15, 1.5, 4.0)[severity] for one in live.latencies]


def _slow_ones(live: Live, draw: Draw, severity: int, setting: Setting) -> None:
    for place in _some(draw, len(live.rows), (0.01, 0.03, 0.1)[severity]):
        live.latencies[place] *= 20


def _clip(v: np.ndarray, healthy: np.ndarray, draw: Draw, severity: int) -> np.ndarray:
    return np.minimum(v, np.quantile(healthy, (0.9, 0.75, 0.5)[severity]))


def _round(v: np.ndarray, healthy: np.ndarray, draw: Draw, severity: int) -> np.ndarray:
    step = (0.5, 1.0, 2.0)[severity] * healthy.std()
    return np.round(v / step) * step


FAULTS: dict[str, Break] = {
    "missing": _set((0.03, 0.1, 0.5), (None,) * 3),
    "fill": _set((0.03, 0.1, 0.5), (0, -1, -999)),
    "scale": _map(lambda v, h, d, s: v * (1.2, 2.54, 1_000.0)[s]),
    "offset": _map(lambda v, h, d, s: v + (0.2, 0.5, 1.5)[s] * h.std()),
    "noise": _map(lambda v, h, d, s: v + (0.3, 0.7, 2.0)[s] * h.std() * d.normal(size=len(v))),
    "clip": _map(_clip),
    "round": _map(_round),
    "stuck": _stuck,
    "join": _joined,
    "swap": _swapped,
    "category missing": _set((0.03, 0.1, 0.5), (None,) * 3, coded=True),
    "new category": _set((0.01, 0.05, 0.3), ("zebra",) * 3, coded=True),
    "recoding": _recoded,
    "truth": _truth,
    "bias": _answer(lambda a, d, s: a + (0.1, 0.3, 1.0)[s] * a.std()),
    "constant answer": _answer(_constant),
    "other model": _other_model,
    "latency": _latency,
    "slow ones": _slow_ones,
}


# --- events


def events(table: Table, answers: Sequence[float], latencies: Sequence[float], draw: Draw, first: int) -> list[bytes]:
    """Predictions numbered from `first` on, and their labels, in order of arrival."""
    times = np.array(table.times_ms, np.int64)
    labels = times + draw.lognormal(np.log(LABEL_DELAY_MS), LABEL_DELAY_SPREAD, len(times)).astype(np.int64)
    found: list[tuple[int, dict[str, Any]]] = []
    for place, row in enumerate(table.rows):
        name, at_ms, label_ms = f"e{first + place}", int(times[place]), int(labels[place])
        answer, truth = answers[place], table.truth[place]
        prediction: dict[str, Any] = {"value": round(answer, 4)}
        if table.classes is not None:
            prediction = {"label": table.classes[0 if answer > 0.5 else 1], "score": round(answer, 6)}
            truth = table.classes[0 if truth else 1]
        common = {"event_id": name, "model_id": MODEL_ID}
        said = {"features": row, "prediction": prediction, "latency_ms": round(latencies[place], 3)}
        found.append((at_ms, {"kind": "prediction", "timestamp": at_ms, "model_version": "1", **common, **said}))
        found.append((label_ms, {"kind": "label", "timestamp": label_ms, "actual": truth, **common}))
    found.sort(key=lambda one: one[0])
    return [json.dumps(event).encode() for _, event in found]


def records(values: Sequence[bytes], first: int) -> list[Record]:
    return [Record("events", 0, first + place, value) for place, value in enumerate(values)]


def said(pipeline: Pipeline, values: Sequence[Record], open_tickets: Collection[str] = ()) -> Iterator[Diagnosis]:
    """Incidents, as they are opened, and once more where a ticket becomes a page: then by the record that made it one.

    open_tickets: ids of the tickets that were open before these records.
    """
    tickets = set(open_tickets)
    for value in values:
        for one in pipeline.process([value]):
            if not isinstance(one, Emit) or one.diagnosis.status is Status.RESOLVED:
                continue
            diagnosis, is_ticket = one.diagnosis, one.diagnosis.severity is Severity.INFO
            if diagnosis.status is Status.OPENED:
                tickets |= {diagnosis.incident_id} if is_ticket else set()
                yield diagnosis
            elif diagnosis.incident_id in tickets and not is_ticket:
                tickets.discard(diagnosis.incident_id)
                yield diagnosis.model_copy(update={"detected": Detected(partition=0, offset=value.offset)})


# --- runs


@dataclass(slots=True)
class Run:
    """One table under one arrangement: its healthy incidents, and its trials (fault, severity, delay or None)."""

    days: float
    false: list[Diagnosis]
    trials: list[tuple[str, int, int | None]]


def run(table: Table, options: argparse.Namespace) -> Run:
    draw = np.random.default_rng(options.seed)
    n = len(table.rows)
    if options.order == "shuffled":
        times = table.times_ms
        table = replace(table.take(draw.permutation(n).tolist()), times_ms=times)
    if options.clock == "even":
        table = replace(table, times_ms=[START_MS + EVEN_GAP_MS * place for place in range(n)])
    trained, live = int(TRAINED * n), int((TRAINED + REFERENCE) * n)
    is_binary = table.classes is not None
    model = train(table.rows[:trained], table.truth[:trained], is_binary)
    small = train(table.rows[: trained // 20], table.truth[: trained // 20], is_binary)
    settings = Settings() if options.margin is None else Settings(margin=options.margin)
    pipeline = _pipeline(table, model, settings, trained, live, options.reference, draw)
    broken = live + int(BREAKS_AT * (n - live))
    latency = draw.lognormal(1.0, 0.3, n).tolist()

    def part(first: int, last: int) -> Table:
        return table.take(range(first, last))

    before = part(live, broken)
    values = events(before, model(before.rows), latency[live:broken], draw, live)
    false = list(said(pipeline, records(values, 0)))
    state, first = pipeline.snapshot(), len(values)
    tickets = {one.incident_id for one in false if one.severity is Severity.INFO} - {
        one.incident_id for one in false if one.severity is not Severity.INFO
    }
    after = part(broken, n)
    answers = list(model(after.rows))

    def heard(what: Live) -> Iterator[Diagnosis]:
        again = Pipeline.restore(settings, "events", 0, {}, state)
        broken_table = replace(after, rows=what.rows, truth=what.truth)
        labels = np.random.default_rng(options.seed + 1)
        return said(again, records(events(broken_table, what.answers, what.latencies, labels, broken), first), tickets)

    def fresh() -> Live:
        return Live([dict(row) for row in after.rows], list(answers), list(after.truth), latency[broken:])

    healthy = list(heard(fresh()))
    days = (table.times_ms[-1] - table.times_ms[live]) / DAY_MS
    found = Run(days, [*false, *healthy], [])
    for trial in _trials(table, live, model, small, options):
        name, severity, setting, column_draw = trial
        what = fresh()
        FAULTS[name](what, column_draw, severity, setting)
        if name not in ("truth", "bias", "constant answer", "other model", "latency", "slow ones"):
            what.answers[:] = model(what.rows)
        new = (one for one in heard(what) if one.severity is not Severity.INFO and not _is_said(one, healthy))
        first_new = next(new, None)
        # About every prediction has a label beside it.
        delay = None if first_new is None else (first_new.detected.offset - first) // 2
        found.trials.append((name, severity, delay))
        if options.verbose:
            cause = "" if first_new is None else f"{first_new.causes[0].fault}{list(first_new.causes[0].features)}"
            print(f"    {name} {severity} {setting.numeric}/{setting.category}: {delay} {cause}", flush=True)
    return found


def _is_said(one: Diagnosis, healthy: Sequence[Diagnosis]) -> bool:
    """What a broken stream says, and the healthy one at about the same moment, is not said of the fault."""
    cause = one.causes[0]
    return any(
        (cause.fault, cause.features) == (other.causes[0].fault, other.causes[0].features)
        and abs(one.detected.offset - other.detected.offset) <= _SAME_MOMENT
        for other in healthy
    )


def _pipeline(
    table: Table, model: Answers, settings: Settings, trained: int, live: int, reference: str, draw: Draw
) -> Pipeline:
    if reference == "none":
        return Pipeline(settings, "events", 0)
    rows = table.take(range(trained, live))
    if reference == "shuffled":
        places = np.sort(draw.choice(live, live - trained, replace=False))
        rows = replace(table.take(draw.permutation(places).tolist()), times_ms=rows.times_ms)
    latency = draw.lognormal(1.0, 0.3, len(rows.rows)).tolist()
    profiler = Profiler(settings)
    profiler.add(records(events(rows, model(rows.rows), latency, draw, trained), 0))
    return Pipeline(settings, "events", 0, read_profile(profiler.finish()))


def _trials(
    table: Table, live: int, model: Answers, small: Answers, options: argparse.Namespace
) -> Iterator[tuple[str, int, Setting, Draw]]:
    healthy = table.rows[int(TRAINED * len(table.rows)) : live]
    names = list(healthy[0])
    texts = [name for name in names if any(isinstance(row[name], str) for row in healthy)]
    quantities = [name for name in names if name not in texts and len({row[name] for row in healthy}) > 2]
    for trial in range(options.trials):
        for number, name in enumerate(FAULTS):
            draw = np.random.default_rng([options.seed, trial, number])
            numeric, other = draw.choice(quantities, 2, replace=False).tolist()
            category = str(draw.choice(texts)) if texts else None
            if category is None and name in ("category missing", "new category", "recoding"):
                continue
            setting = Setting(numeric, other, category, healthy, model, small)
            for severity in options.severities if name in options.faults else ():
                yield name, severity, setting, np.random.default_rng([options.seed, trial, number, severity])


# --- words


def percent(trials: Sequence[tuple[str, int, int | None]]) -> str:
    if not trials:
        return ""
    delays = [delay for _, _, delay in trials if delay is not None]
    return f"{100 * len(delays) / len(trials):.0f} %" + (f" / {median(delays):.0f}" if delays else "")


def show(name: str, found: Run, by_fault: bool) -> None:
    pages = [one for one in found.false if one.severity is not Severity.INFO]
    tickets = len(found.false) - len(pages)
    cells = [percent([trial for trial in found.trials if trial[1] == severity]) for severity in range(3)]
    rate = 30 * len(pages) / found.days
    print(f"| {name} | {found.days:.1f} | {len(pages)} | {rate:.2f} | {tickets} | {' | '.join(cells)} |", flush=True)
    if by_fault:
        for fault in FAULTS:
            mine = [[t for t in found.trials if t[:2] == (fault, severity)] for severity in range(3)]
            print(f"|   {fault} |  |  |  |  | {' | '.join(map(percent, mine))} |")
    for one in found.false if by_fault else ():
        print(f"  {one.severity} {one.detected.offset} {one.summary}")


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("data", type=Path, metavar="DATA_FOLDER", help="with tabular/ and drift/")
    options.add_argument("--tables", nargs="+", default=["bike", "metro"], choices=TABLES)
    options.add_argument("--reference", nargs="+", default=["ordered"], choices=("ordered", "shuffled", "none"))
    options.add_argument("--clock", nargs="+", default=["natural"], choices=("natural", "even"))
    options.add_argument("--order", default="natural", choices=("natural", "shuffled"))
    options.add_argument("--trials", type=int, default=1, help="of each fault and severity; 0: the healthy stream only")
    options.add_argument("--faults", nargs="+", default=list(FAULTS), choices=FAULTS)
    options.add_argument(
        "--severities", nargs="+", type=int, default=[0, 1, 2], choices=range(3), help="0 low … 2 high"
    )
    options.add_argument("--seed", type=int, default=SEED)
    options.add_argument("--margin", type=float)
    options.add_argument("--verbose", action="store_true", help="by fault, and what was said of the healthy stream")
    wanted = options.parse_args()
    print("| table, reference, clock | days | false | per 30 days | tickets | low | medium | high |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name in wanted.tables:
        table = TABLES[name](wanted.data)
        for reference in wanted.reference:
            for clock in wanted.clock:
                arranged = argparse.Namespace(**vars(wanted) | {"reference": reference, "clock": clock})
                show(f"{name}, {reference}, {clock}", run(table, arranged), wanted.verbose)


if __name__ == "__main__":
    main()
