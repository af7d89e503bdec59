"""A tensor in numbers: how many, how large, how many of them zero or not finite, and a digest of the bytes.

Belongs here: statistics of arrays. Not here: where in a model they are found.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from whydrift_schemas.collector.reading import Tensor, fitting
from whydrift_schemas.events import Parameter

MAX_PARAMETERS: Final = 1_000
"""Tensors of their own in an event: some 300 kB of JSON, within the worker's default limit of a record. More are summed up."""
MAX_OUTPUTS: Final = 64
"""Outputs of the last layer that are described one by one."""
_BLOCK: Final = 1 << 16
"""Numbers at a time: half a megabyte of float64 stays in the cache."""
_FIGURES: Final = 10
"""Significant figures written. Sums differ in the last bits between processors; replicas with equal weights must not."""
_WORDS: Final = (str, bytes, bool, int, float)
"""What is the same text in every process; other objects may show their address."""
_MAX: Final = 1.7976931348623157e308


@dataclass(slots=True)
class Moments:
    """Of the finite numbers seen so far. scaled squares: `squares * scale²` is the sum of squares, which itself may overflow."""

    count: int = 0
    finite: int = 0
    zeros: int = 0
    mean: float = 0.0
    spread: float = 0.0
    scale: float = 1.0
    squares: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, block: NDArray[np.float64]) -> None:
        """Chan, Golub & LeVeque (1979): moments of parts add up without cancelling far from zero."""
        self.count += block.size
        self.zeros += block.size - int(np.count_nonzero(block))
        low, high = float(block.min()), float(block.max())
        if not isfinite(low) or not isfinite(high):  # min and max are NaN where any number is
            block = block[np.isfinite(block)]
            if not block.size:
                return
            low, high = float(block.min()), float(block.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._rescale(max(abs(low), abs(high)))
        if self.scale != 1.0:
            block = block / self.scale
        seen, new = self.finite, block.size
        mean = float(block.mean())
        step = mean - self.mean
        self.finite = seen + new
        self.mean += step * new / self.finite
        centred = block - mean
        self.spread += float(centred @ centred) + step * step * seen * new / self.finite
        self.squares += float(block @ block)

    def _rescale(self, size: float) -> None:
        if size <= 1e100 or size <= self.scale:
            return
        ratio = self.scale / size
        self.mean, self.spread, self.squares = self.mean * ratio, self.spread * ratio**2, self.squares * ratio**2
        self.scale = size


def described(tensor: Tensor) -> Iterator[Parameter]:
    """A tensor, and each output of the last layer by itself: permuted classes keep the digests and change their places."""
    name = fitting(tensor.name)
    if (words := _words(tensor.values)) is not None:
        count, text = words
        yield Parameter(name=name, count=count, digest=_hex(text.encode()))
        return
    array = as_array(tensor.values)
    yield parameter(name, array)
    axis = tensor.output_axis
    if axis is not None and array.ndim > axis and 2 <= array.shape[axis] <= MAX_OUTPUTS:
        for place in range(array.shape[axis]):
            yield parameter(fitting(f"{tensor.name}[{place}]"), np.take(array, place, axis))


def parameter(name: str, array: NDArray[Any]) -> Parameter:
    """An array of numbers as the contract has it."""
    flat = np.ascontiguousarray(array).reshape(-1)
    moments = Moments()
    for start in range(0, flat.size, _BLOCK):
        moments.add(flat[start : start + _BLOCK].astype(np.float64))
    return _written(name, moments, _digest(array.shape, flat))


def _written(name: str, moments: Moments, digest: str) -> Parameter:
    known = moments.finite > 0
    scale, finite = moments.scale, max(moments.finite, 1)
    return Parameter(
        name=name,
        count=moments.count,
        mean=_rounded(moments.mean * scale) if known else None,
        std=_rounded(sqrt(moments.spread / finite) * scale) if known else None,
        min=_rounded(moments.low) if known else None,
        max=_rounded(moments.high) if known else None,
        l2_norm=_rounded(sqrt(moments.squares) * scale) if known else None,
        zeros=moments.zeros,
        non_finite=moments.count - moments.finite,
        digest=digest,
    )


def _rounded(value: float) -> float:
    return min(max(float(f"{value:.{_FIGURES}g}"), -_MAX), _MAX)


def _digest(shape: tuple[int, ...], flat: NDArray[Any]) -> str:
    """Of shape, type and little-endian bytes: the same on every machine. -0.0 and 0.0 differ, as their bytes do."""
    little = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
    found = sha256(f"{little.dtype.str}{[*shape]}".encode())
    found.update(little.data.cast("B") if little.size else b"")
    return f"sha256:{found.hexdigest()}"


def _hex(written: bytes) -> str:
    return f"sha256:{sha256(written).hexdigest()}"


def summed_up(name: str, rest: list[Parameter]) -> Parameter:
    """Many tensors as one: counts and squares add up, their digests make one."""
    zeros, broken = sum(one.zeros or 0 for one in rest), sum(one.non_finite or 0 for one in rest)
    lows = [one.min for one in rest if one.min is not None]
    highs = [one.max for one in rest if one.max is not None]
    norms = np.array([one.l2_norm or 0.0 for one in rest])
    size = float(norms.max(initial=0.0)) or 1.0
    told = json.dumps([[one.name, one.digest] for one in rest])
    return Parameter(
        name=name,
        count=sum(one.count for one in rest),
        min=min(lows, default=None),
        max=max(highs, default=None),
        l2_norm=_rounded(size * float(np.linalg.norm(norms / size))),
        zeros=zeros,
        non_finite=broken,
        digest=_hex(told.encode()),
    )


def as_array(values: Any) -> NDArray[Any]:
    """Numbers of any framework as an array of numpy numbers: without gradients, from any device, dense."""
    if hasattr(values, "detach"):  # torch: it may be on a device, quantised, sparse, or of a type that numpy lacks
        values = _from_torch(values)
    elif hasattr(values, "numpy") and not isinstance(values, np.ndarray):  # a TensorFlow or Keras variable
        values = values.numpy()
    array = np.asarray(values)
    if array.dtype.kind == "c":
        array = np.stack([array.real, array.imag], axis=-1)
    # Types of ml_dtypes (bfloat16, float8) are of kind V; each has its value in float32.
    return array.astype(np.float32) if array.dtype.kind not in "biuf" else array


def _from_torch(values: Any) -> Any:
    found = values.detach()
    if getattr(found, "is_quantized", False):
        found = found.dequantize()
    if str(getattr(found, "layout", "")) != "torch.strided":
        found = found.to_dense()
    found = found.cpu()
    return (found.float() if str(found.dtype).startswith(("torch.bfloat", "torch.float8")) else found).numpy()


def _words(values: Any) -> tuple[int, str] | None:
    """Categories, in number and as text: what cannot be summed up is told by its digest."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "OSUMm":
        return None
    entries = [entry.item() if isinstance(entry, np.generic) else entry for entry in values.reshape(-1).tolist()]
    return values.size, json.dumps(
        [[type(entry).__name__, str(entry) if isinstance(entry, _WORDS) else ""] for entry in entries]
    )
