"""Real PyTorch modules: on their own, scripted, in half precision, and as a state dict."""

from typing import Any

import numpy as np
import pytest
from tests.collector.described import changed, event, structure, tensors

torch = pytest.importorskip("torch", reason="pip install torch")


def network(width: int = 8, seed: int = 1) -> Any:
    torch.manual_seed(seed)
    nn = torch.nn
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 3))


def test_a_module_tells_its_layers_and_every_tensor() -> None:
    model = network()
    told = event(model, feature_names=["a", "b", "c", "d"], task="multiclass")
    assert told.structure is not None
    assert told.structure.framework == "torch"
    kinds = [(layer.kind, layer.shape) for layer in told.structure.layers or ()]
    assert kinds == [("Linear", [8, 4]), ("BatchNorm1d", [8]), ("ReLU", None), ("Dropout", None), ("Linear", [3, 8])]
    weight = tensors(told)["0.weight"]
    assert weight.l2_norm == pytest.approx(float(np.linalg.norm(model[0].weight.detach().numpy())), rel=1e-6)
    assert "1.running_mean" in tensors(told)


def test_structure_is_what_was_built_and_not_what_was_learnt() -> None:
    assert structure(event(network())) == structure(event(network(seed=2)))
    assert changed(event(network()), event(network(seed=2)))
    assert structure(event(network())) != structure(event(network(width=9)))


def test_a_permuted_head_keeps_the_digests_of_its_rows() -> None:
    model = network()
    before = tensors(event(model))
    with torch.no_grad():
        model[4].weight.copy_(model[4].weight[[2, 0, 1]].clone())
    after = tensors(event(model))
    assert [after[f"4.weight[{n}]"].digest for n in range(3)] == [before[f"4.weight[{n}]"].digest for n in (2, 0, 1)]


def test_a_scripted_module_a_wrapped_one_and_a_state_dict_have_the_same_weights() -> None:
    model = network().eval()
    plain = {one.digest for one in event(model).parameters or ()}
    for other in (torch.jit.script(model), torch.nn.DataParallel(model), dict(model.state_dict()), model.state_dict()):
        assert {one.digest for one in event(other).parameters or ()} <= plain
    assert structure(event(torch.nn.DataParallel(model))) == structure(event(model))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_precisions_are_read(dtype: str) -> None:
    model = torch.nn.Linear(2, 2).to(getattr(torch, dtype))
    with torch.no_grad():
        model.weight.fill_(0.5)
    told = tensors(event(model))["weight"]
    assert (told.count, told.mean, told.l2_norm) == (4, 0.5, 1.0)


def test_numbers_that_are_not_finite_are_told() -> None:
    model = network()
    with torch.no_grad():
        model[0].weight[2, 1] = float("nan")
    assert tensors(event(model))["0.weight"].non_finite == 1
