"""The service under watch: a scikit-learn model that estimates LDL cholesterol from what else is known of a patient.

The data are real: the 442 patients of the diabetes study in "Least Angle Regression" (Efron, Hastie, Johnstone, Tibshirani;
Annals of Statistics 32, 2004), which scikit-learn carries, in raw units. The traffic is not: patients are drawn from the half of
the table that the model was not trained on, again and again, each time with a little measurement noise.

Belongs here: patients, and models trained on them. Not here: when who is asked (`scenario`), how that is written (`traffic`).
This is the only file that imports scikit-learn.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

Floats = NDArray[np.float64]

FEATURES = (
    "age",
    "sex",
    "bmi",
    "blood_pressure",
    "total_cholesterol",
    "hdl",
    "cholesterol_ratio",
    "log_triglycerides",
    "glucose",
)
"""In input order. Years, 1 or 2 (the table does not say which is which), kg/m², mmHg, mg/dl, mg/dl, 1, log mg/dl, mg/dl."""
CATEGORICAL = ("sex",)

_TABLE_ORDER = ("age", "sex", "bmi", "bp", "s1", "s3", "s4", "s5", "s6")
"""FEATURES as scikit-learn calls them; s2 is LDL."""
_LDL = "s2"
_NOISE: Mapping[str, tuple[float, int]] = {
    "bmi": (0.01, 1),
    "blood_pressure": (0.03, 0),
    "total_cholesterol": (0.01, 0),
    "hdl": (0.01, 0),
    "log_triglycerides": (0.01, 4),
    "glucose": (0.02, 0),
}
"""Relative standard deviation of a measurement that is taken again, and the decimals it is written with."""
_LDL_NOISE = 0.01


class ModelFile(StrEnum):
    """What may be loaded."""

    RELEASE = "release"
    """trained on all features"""
    PROTOTYPE = "prototype"
    """an old one, from before the cholesterol panel was connected: age, sex, bmi and blood pressure are all it looks at"""


_LOOKS_AT: Mapping[ModelFile, int] = {ModelFile.RELEASE: len(FEATURES), ModelFile.PROTOTYPE: 4}
"""How many of FEATURES, from the first."""


@dataclass(frozen=True, slots=True)
class Patients:
    """`features` has one row per patient in the order of FEATURES; `ldl` is what the laboratory measures later."""

    features: Floats
    ldl: Floats


class Laboratory:
    """Trains on one half of the table, and draws patients from the other."""

    def __init__(self, seed: int) -> None:
        table = load_diabetes(scaled=False)
        names: Sequence[str] = table.feature_names
        features = np.asarray(table.data, dtype=np.float64)[:, [names.index(name) for name in _TABLE_ORDER]]
        ldl = np.asarray(table.data, dtype=np.float64)[:, names.index(_LDL)]
        order = np.random.default_rng(seed).permutation(len(ldl))
        learnt_from, served = np.array_split(order, 2)
        self._patients = Patients(features[served], ldl[served])
        self._models = {
            file: make_pipeline(
                SimpleImputer(strategy="median"), GradientBoostingRegressor(n_estimators=60, random_state=seed)
            ).fit(features[learnt_from, :width], ldl[learnt_from])
            for file, width in _LOOKS_AT.items()
        }

    def draw(self, count: int, random: np.random.Generator) -> Patients:
        """The next patients."""
        rows = random.integers(len(self._patients.ldl), size=count)
        features, ldl = self._patients.features[rows], self._patients.ldl[rows]
        before = features.copy()
        for name, (spread, decimals) in _NOISE.items():
            place = FEATURES.index(name)
            features[:, place] *= 1 + spread * random.standard_normal(count)
            features[:, place] = features[:, place].round(decimals)
        total, hdl, ratio = (FEATURES.index(name) for name in ("total_cholesterol", "hdl", "cholesterol_ratio"))
        changed = features[:, [total, hdl]] / before[:, [total, hdl]]
        features[:, ratio] = (features[:, ratio] * changed[:, 0] / changed[:, 1]).round(2)
        return Patients(features, (ldl * (1 + _LDL_NOISE * random.standard_normal(count))).round(1))

    def answer(self, file: ModelFile, features: Floats) -> Floats:
        """LDL in mg/dl as the model in this file estimates it; missing values (NaN) are taken as the training median."""
        found = self._models[file].predict(features[:, : _LOOKS_AT[file]])
        return np.asarray(found, dtype=np.float64).round(1)

    def score(self, file: ModelFile) -> float:
        """R² on the patients it was not trained on."""
        patients = self._patients
        return float(self._models[file].score(patients.features[:, : _LOOKS_AT[file]], patients.ldl))

    def digest(self, file: ModelFile) -> str:
        """Of the model's structure: its parameters as scikit-learn prints them, and the features it was made for."""
        text = f"{self._models[file]} {FEATURES[: _LOOKS_AT[file]]}"
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
