"""Broken weights, seen in the answers alone: `python tests/bench/weights.py DATA_FOLDER [--tables adult …] [--seeds N]`.

A neural network of two hidden layers serves a real table; nothing describes it, so only its answers can tell. Each break is what
memory, a transfer, a converter or a wrong file does to weights. Prints whether an incident opened within 3,000 rows, its first
cause, and in which share its family is right: the model's parameters, or its structure.

Belongs here: breaks of weights, and their count. Not here: troubles of other kinds (`breaks`), streams (`faults`).
"""

import argparse
import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from breaks import Draw
from faults import Stage, Trial, follow, heard, interval, stage
from real_tables import Trained

from whydrift_schemas.names import FAMILY_OF, Family, Fault

RIGHT = (Family.MODEL_PARAMETERS, Family.MODEL_STRUCTURE)
Weights = list[np.ndarray]
"""Kernels of the layers, from the inputs on; changed in place."""


def _one(value: float, layer: int) -> Callable[[Weights, Weights, Draw], None]:
    """One weight of a layer becomes `value`, on an input of it that is in use."""

    def damage(kernels: Weights, biases: Weights, draw: Draw) -> None:
        row = int(np.abs(kernels[layer]).sum(axis=1).argmax())
        kernels[layer][row, int(draw.integers(kernels[layer].shape[1]))] = value

    return damage


def _layer(layer: int, formula: Callable[[np.ndarray, Draw], np.ndarray]) -> Callable[[Weights, Weights, Draw], None]:
    def damage(kernels: Weights, biases: Weights, draw: Draw) -> None:
        kernels[layer][...] = formula(kernels[layer], draw)

    return damage


def _all(formula: Callable[[np.ndarray, Draw], np.ndarray]) -> Callable[[Weights, Weights, Draw], None]:
    def damage(kernels: Weights, biases: Weights, draw: Draw) -> None:
        for one in (*kernels, *biases):
            one[...] = formula(one, draw)

    return damage


def _noise(share: float) -> Callable[[np.ndarray, Draw], np.ndarray]:
    return lambda w, draw: w + share * w.std() * draw.normal(size=w.shape)


def _bits(w: np.ndarray, draw: Draw) -> np.ndarray:
    """One bit in a thousand of float32 weights is turned; what is no number or beyond 10⁴ after that is 0."""
    bits = w.astype(np.float32).view(np.uint32)
    mask = (draw.random((*w.shape, 32)) < 1e-3) @ (np.uint64(1) << np.arange(32, dtype=np.uint64))
    turned = (bits ^ mask.astype(np.uint32)).view(np.float32).astype(float)
    return np.where(np.isfinite(turned) & (np.abs(turned) < 1e4), turned, 0.0)


def _biases(formula: Callable[[np.ndarray], np.ndarray]) -> Callable[[Weights, Weights, Draw], None]:
    def damage(kernels: Weights, biases: Weights, draw: Draw) -> None:
        for one in biases:
            one[...] = formula(one)

    return damage


def _half(w: np.ndarray, draw: Draw) -> np.ndarray:
    """The second half of a file is lost, and read as zeros."""
    flat = w.copy().reshape(-1)
    flat[len(flat) // 2 :] = 0
    return flat.reshape(w.shape)


def _coarse(w: np.ndarray, draw: Draw) -> np.ndarray:
    step = np.abs(w).max() / 2 or 1.0
    return np.round(w / step) * step


DAMAGES: dict[str, Callable[[Weights, Weights, Draw], None]] = {
    "first layer zero": _layer(0, lambda w, d: 0 * w),
    "last layer zero": _layer(-1, lambda w, d: 0 * w),
    "all zero": _all(lambda w, d: 0 * w),
    "biases zero": _biases(lambda b: 0 * b),
    "half of the first layer lost": _layer(0, _half),
    "first layer × 10": _layer(0, lambda w, d: 10 * w),
    "last layer × 10": _layer(-1, lambda w, d: 10 * w),
    "last layer ÷ 10": _layer(-1, lambda w, d: w / 10),
    "last layer's sign": _layer(-1, lambda w, d: -w),
    "one huge weight, first layer": _one(1e4, 0),
    "one huge weight, last layer": _one(1e4, -1),
    "noise of a third": _all(_noise(0.33)),
    "noise as large as the weights": _all(_noise(1.0)),
    "bits turned": _all(_bits),
    "hidden units permuted": _layer(1, lambda w, d: w[d.permutation(len(w))]),
    "rounded to five levels": _all(_coarse),
}


def damaged(served: Trained, name: str, draw: Draw) -> Trained:
    broken: Any = copy.deepcopy(served.model)
    fitted = broken if served.is_binary else broken.regressor_
    network = fitted[-1]
    DAMAGES[name](network.coefs_, network.intercepts_, draw)
    return replace(served, model=broken)


def trials(it: Stage, seed: int) -> Iterator[tuple[str, Trial]]:
    served = it.served.answers
    assert isinstance(served, Trained)
    for number, name in enumerate(DAMAGES):
        with np.errstate(over="ignore"):  # a huge weight is meant to saturate
            answers = damaged(served, name, np.random.default_rng([seed, number]))([one.row for one in it.after])
        events = [replace(one, answer=answer) for one, answer in zip(it.after, answers, strict=True)]
        yield name, follow(heard(it, events), len(events), Trial(it.table, name, 2, (), ()))


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("data", type=Path, metavar="DATA_FOLDER")
    options.add_argument("--tables", nargs="+", default=["adult", "diamonds"])
    options.add_argument("--seeds", type=int, default=1)
    wanted = options.parse_args()
    found: list[Trial] = []
    print("| table | weights | after rows | first cause | second |\n|---|---|--:|---|---|")
    for table in wanted.tables:
        for seed in range(wanted.seeds):
            for name, one in trials(stage(table, wanted.data, "neural", seed), seed):
                found.append(one)
                causes = [f"{cause} {p:.2f}" for cause, p in (*one.causes, ("", 0.0), ("", 0.0))[:2]]
                print(f"| {table} | {name} | {one.delay} | {' | '.join(causes)} |", flush=True)
    opened = [one for one in found if one.causes]
    right = sum(FAMILY_OF[Fault(one.causes[0][0])] in RIGHT for one in opened)
    print(f"\nFound {interval(len(opened), len(found))} %; right family first {interval(right, len(opened))} %")


if __name__ == "__main__":
    main()
