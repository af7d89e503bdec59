"""Real tables as models in service: what goes in, what the model answers, what came true.

A quickly trained model (histogram gradient boosting) answers rows it was not trained on. Rows are shuffled with a fixed seed, so
that a stream is stationary until something is broken in it. The car loans come with a model's answers, and in the order of time.
Belongs here: reading the tables of the data folder, and the models. Not here: what breaks, and events (`streams`).
"""

import csv
import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import packaged_tables
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

Row = dict[str, Any]
Answers = Callable[[Sequence[Row]], Sequence[float]]
"""Features → probability of the positive class, or a value."""

SEED = 7
TRAINED_FRACTION, PROFILED_FRACTION = 0.35, 0.25
"""Of a table's rows; the rest is the live stream."""
BREAKS_AT = 0.65
"""Of the live stream."""
CAR_LOAN_BREAKS_AT = 25_000
"""Row of the analysis set at which its authors let the world change."""
INSECTS_DRIFT_AT = 14_028
SCORE = "y_pred_proba"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A model in service. `classes`: positive and negative, None for a regression. `breaks_at`: a row of `live`.

    other_model answers as another model file would; None where there is none.
    """

    healthy: Sequence[Row]
    healthy_truth: Sequence[float]
    live: Sequence[Row]
    live_truth: Sequence[float]
    breaks_at: int
    answers: Answers
    other_model: Answers | None
    classes: tuple[str, str] | None


def service(name: str, folder: Path, family: str = "boosted") -> Service:
    """adult, diamonds, bike, metro, elec, insects, car_loan, car_loan_dq or one of `packaged_tables`; boosted, linear, forest or
    neural.
    """
    return _car_loan(name, folder) if name.startswith("car_loan") else _modelled(name, folder, family)


# --- tables


def read_table(path: Path) -> list[Row]:
    """Rows with numbers as numbers, True and False as such, and None for empty cells and `?`."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    columns = [typed(column) for column in zip(*lines, strict=True)]
    return [dict(zip(header, cells, strict=True)) for cells in zip(*columns, strict=True)]


def typed(column: Sequence[str]) -> list[Any]:
    cells = [None if cell.strip() in ("", "?") else cell.strip() for cell in column]
    for read in (int, float, {"True": True, "False": False}.__getitem__):
        try:
            return [None if cell is None else read(cell) for cell in cells]
        except (ValueError, KeyError):
            continue
    return list(cells)


def _adult(folder: Path) -> tuple[list[Row], list[float]]:
    rows = read_table(folder / "tabular/adult_train.csv.gz") + read_table(folder / "tabular/adult_test.csv.gz")
    return rows, [float(row.pop("income").startswith(">50K")) for row in rows]


def _diamonds(folder: Path) -> tuple[list[Row], list[float]]:
    rows = read_table(folder / "tabular/diamonds.csv.gz")
    return rows, [row.pop("price") for row in rows]


def _bike(folder: Path) -> tuple[list[Row], list[float]]:
    rows = read_table(folder / "tabular/bike_hour.csv.gz")
    truth = [row.pop("cnt") for row in rows]
    for row in rows:
        del row["instant"], row["casual"], row["registered"]
    return rows, truth


def _metro(folder: Path) -> tuple[list[Row], list[float]]:
    rows = read_table(folder / "tabular/metro_traffic.csv.gz")
    for row in rows:
        time = datetime.fromisoformat(row.pop("date_time"))
        row |= {"hour": time.hour, "weekday": time.strftime("%a"), "month": time.month}
        del row["weather_description"]
    return rows, [row.pop("traffic_volume") for row in rows]


def _elec(folder: Path) -> tuple[list[Row], list[float]]:
    """Without the columns that stand still until row 17,424."""
    rows = read_table(folder / "drift/elec.csv.gz")
    for row in rows:
        del row["vicprice"], row["vicdemand"], row["transfer"]
    return rows, [float(row.pop("class")) for row in rows]


def _insects(folder: Path) -> tuple[list[Row], list[float]]:
    """One species against the others, before the drift that its authors made."""
    rows = read_table(folder / "drift/insects_gradual_balanced.csv.gz")[:INSECTS_DRIFT_AT]
    truth = [float(row.pop("33") == 2) for row in rows]
    return [{f"sensor_{name}": value for name, value in row.items()} for row in rows], truth


def _packaged(name: str) -> Callable[[Path], tuple[list[Row], list[float]]]:
    return lambda folder: packaged_tables.TABLES[name](typed)


_CLASSES = {"adult": (">50K", "<=50K"), "elec": ("up", "down"), "insects": ("it", "another"), **packaged_tables.CLASSES}
_MODELLED: Mapping[str, Callable[[Path], tuple[list[Row], list[float]]]] = {
    "adult": _adult,
    "diamonds": _diamonds,
    "bike": _bike,
    "metro": _metro,
    "elec": _elec,
    "insects": _insects,
    **{name: _packaged(name) for name in packaged_tables.TABLES},
}


# --- models


def _modelled(name: str, folder: Path, family: str) -> Service:
    rows, truth = _MODELLED[name](folder)
    order = np.random.default_rng(SEED).permutation(len(rows))
    rows, truth = [rows[place] for place in order], [truth[place] for place in order]
    trained = int(TRAINED_FRACTION * len(rows))
    live = trained + int(PROFILED_FRACTION * len(rows))
    is_binary = name in _CLASSES
    return Service(
        healthy=rows[trained:live],
        healthy_truth=truth[trained:live],
        live=rows[live:],
        live_truth=truth[live:],
        breaks_at=int(BREAKS_AT * (len(rows) - live)),
        answers=train(rows[:trained], truth[:trained], is_binary, family),
        other_model=train(rows[: trained // 20], truth[: trained // 20], is_binary, family),
        classes=_CLASSES.get(name),
    )


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted estimator as `Answers`. names: its inputs in order; codes: of each category's values."""

    names: Sequence[str]
    codes: Mapping[str, Mapping[str, int]]
    model: Any
    is_binary: bool

    def __call__(self, rows: Sequence[Row]) -> Sequence[float]:
        inputs = self.matrix(rows)
        if self.is_binary:
            return list(map(float, self.model.predict_proba(inputs)[:, 1]))
        return list(map(float, self.model.predict(inputs)))

    def matrix(self, rows: Sequence[Row]) -> np.ndarray:
        return np.array([[_number(row.get(name), self.codes.get(name)) for name in self.names] for row in rows])


def train(rows: Sequence[Row], truth: Sequence[float], is_binary: bool, family: str = "boosted") -> Trained:
    names = list(rows[0])
    categorical = [any(isinstance(row[name], str) for row in rows) for name in names]
    codes = {
        name: {value: code for code, value in enumerate(sorted({row[name] for row in rows} - {None}))}
        for name, is_text in zip(names, categorical, strict=True)
        if is_text
    }
    trained = Trained(names, codes, _model(family, is_binary, categorical), is_binary)
    trained.model.fit(trained.matrix(rows), truth)
    return trained


def _model(family: str, is_binary: bool, categorical: Sequence[bool]) -> Any:
    if family == "boosted":
        kind = HistGradientBoostingClassifier if is_binary else HistGradientBoostingRegressor
        return kind(random_state=SEED, categorical_features=categorical)
    if family == "forest":
        kind = RandomForestClassifier if is_binary else RandomForestRegressor
        return make_pipeline(_filled(categorical, False), kind(60, min_samples_leaf=5, random_state=SEED))
    if family == "neural":
        kind = MLPClassifier if is_binary else MLPRegressor
        network = kind(hidden_layer_sizes=(32, 16), early_stopping=True, random_state=SEED)
        served = make_pipeline(_filled(categorical, True), network)
        return served if is_binary else TransformedTargetRegressor(served, transformer=StandardScaler())
    linear = LogisticRegression(max_iter=300) if is_binary else Ridge()
    return make_pipeline(_filled(categorical, True), linear)


def _filled(categorical: Sequence[bool], one_hot: bool) -> Any:
    """Nulls are filled as a service would, quantities scaled, categories told apart."""
    coded = [place for place, is_coded in enumerate(categorical) if is_coded]
    numbers = [place for place, is_coded in enumerate(categorical) if not is_coded]
    codes = SimpleImputer(strategy="constant", fill_value=-1)
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("codes", make_pipeline(codes, OneHotEncoder(handle_unknown="ignore")) if one_hot else codes, coded),
        ]
    )


def _number(value: Any, codes: Mapping[str, int] | None) -> float:
    if value is None:
        return float("nan")
    return float(value) if codes is None else codes.get(value, float("nan"))


def _car_loan(name: str, folder: Path) -> Service:
    """Scores travel in the rows until they are asked for."""
    stem = folder / "nannyml"
    healthy = read_table(stem / f"synthetic_{name}_reference.csv.gz")
    live = read_table(stem / f"synthetic_{name}_analysis.csv.gz")
    targets = read_table(stem / "synthetic_car_loan_analysis_target.csv.gz")
    healthy_truth = [row.pop("repaid") for row in healthy]
    for row in healthy + live:
        del row["id"], row["timestamp"], row["y_pred"]
    return Service(
        healthy=healthy,
        healthy_truth=healthy_truth,
        live=live,
        live_truth=[row["repaid"] for row in targets],
        breaks_at=CAR_LOAN_BREAKS_AT,
        answers=lambda rows: [row.pop(SCORE) for row in rows],
        other_model=None,
        classes=("repaid", "defaulted"),
    )
