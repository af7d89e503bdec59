"""How long the collector takes: `python -m tests.bench.collector [megabytes]` prints seconds for models of that size.

Belongs here: sizes and times, of what is installed. Not here: whether what is told is right (tests/collector).
"""

import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from whydrift_schemas import encode
from whydrift_schemas.collector import describe


def models(megabytes: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    side = int((megabytes * 1e6 / 4 / 4) ** 0.5)
    yield "numpy, 4 matrices of float32", lambda: arrays(side)
    if find_spec("sklearn"):
        yield "scikit-learn, forest", lambda: forest(megabytes)
    if find_spec("keras") and find_spec("tensorflow"):
        yield "Keras, 4 dense layers", lambda: keras_network(side)
    if find_spec("torch"):
        yield "PyTorch, 4 linear layers", lambda: torch_network(side)


def arrays(side: int) -> dict[str, Any]:
    draw = np.random.default_rng(1)
    return {f"layer_{place}": draw.normal(size=(side, side)).astype("f4") for place in range(4)}


def forest(megabytes: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    draw = np.random.default_rng(1)
    # A tree grown on n different outcomes has 2 n − 1 nodes of 64 bytes and 8 of its value.
    rows, trees = 20_000, max(megabytes * 1_000_000 // (2 * 72 * 20_000), 1)
    x = draw.normal(size=(rows, 4))
    return RandomForestRegressor(trees, bootstrap=False, max_features=1, n_jobs=1, random_state=1).fit(x, x[:, 0])


def keras_network(side: int) -> Any:
    import keras

    return keras.Sequential([keras.Input((side,)), *(keras.layers.Dense(side, use_bias=False) for _ in range(4))])


def torch_network(side: int) -> Any:
    import torch

    return torch.nn.Sequential(*(torch.nn.Linear(side, side, bias=False) for _ in range(4)))


def main(megabytes: int) -> None:
    for name, make in models(megabytes):
        model = make()
        begin = time.perf_counter()
        event = encode(describe(model, model_id="m", model_version="1", timestamp=1_795_452_060_000))
        took_s = time.perf_counter() - begin
        print(f"{name:32s} {megabytes:5d} MB  {took_s:6.2f} s  {len(event):8,d} bytes of event")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
