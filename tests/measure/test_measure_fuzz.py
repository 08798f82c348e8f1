"""Random models, shapes, dtypes and layouts: the right numbers or one line, and never a changed model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from dense_oracle import Named, eigenvalues
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure import Curvature, curvature

FUZZ = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
WHOLE = [torch.uint8, torch.int16, torch.int64, torch.bool, torch.uint16]
DTYPES = [*FLOATS, *WHOLE, torch.complex64]


@st.composite
def tensors(draw: Any, shape: tuple[int, ...], dtypes: list[torch.dtype], largest: float = 3.0) -> Any:
    """Values of any dtype in any layout, as a tensor or an array."""
    dtype, seed = draw(st.sampled_from(dtypes)), draw(st.integers(0, 999))
    layout = draw(st.sampled_from(["plain", "transposed", "strided", "expanded"]))
    generator = torch.Generator().manual_seed(seed)
    wide = (*shape[:-1], 2 * shape[-1]) if shape else shape
    values = largest * (2 * torch.rand(wide, generator=generator) - 1)
    values = (values if dtype.is_floating_point else values.abs()).to(dtype)
    values = values[..., ::2] if layout == "strided" else values[..., : shape[-1]].contiguous()
    if layout == "transposed" and len(shape) > 1:
        values = values.transpose(0, 1).contiguous().transpose(0, 1)
    if layout == "expanded" and shape[0] > 0:
        values = values[:1].expand(shape)
    has_numpy = dtype is not torch.bfloat16
    return values.numpy() if has_numpy and draw(st.booleans()) else values


def model_of(inputs: int, width: int, outputs: int, dtype: torch.dtype, dropout: bool) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.Dropout(0.4 if dropout else 0.0), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(width, outputs)).to(dtype)


def formula(p: Named, x: Tensor, mask: Tensor) -> Tensor:
    p = {name: value.double() for name, value in p.items()}
    z = x @ p["0.weight"].T + p["0.bias"]
    z = (z - z.mean(0)) / (((z - z.mean(0)) ** 2).mean(0) + 1e-5).sqrt()
    return ((p["1.weight"] * z + p["1.bias"]) * mask).tanh() @ p["4.weight"].T + p["4.bias"]


def in_the_models(x: Any, dtype: torch.dtype) -> Tensor:
    """Values as the model's dtype holds them, in float64."""
    return torch.as_tensor(np.array(x) if isinstance(x, np.ndarray) else x).to(dtype).double()


def measured(*args: Any, **options: Any) -> Curvature | str:
    """The result, or the one line; anything else that is raised fails the test."""
    try:
        return curvature(*args, **options)
    except InvalidInput as refusal:
        return str(refusal)


@FUZZ
@given(data=st.data())
def test_right_or_one_line(data: Any) -> None:
    wild = data.draw(st.booleans())  # anything, or what should be measured
    m, inputs = data.draw(st.integers(1 if wild else 2, 6)), data.draw(st.integers(1, 3))
    width, outputs = data.draw(st.integers(1, 3)), data.draw(st.integers(1 if wild else 2, 3))
    given_width = inputs + (wild and data.draw(st.booleans()))
    dtype = data.draw(st.sampled_from([torch.float64, torch.float64, torch.float32, torch.bfloat16]))
    dropout = data.draw(st.booleans())
    model = model_of(inputs, width, outputs, dtype, dropout)
    x = data.draw(tensors((m, given_width), DTYPES if wild else FLOATS))
    labels = data.draw(st.booleans())
    shape = (m + (wild and data.draw(st.booleans())),) if labels else (m, outputs)
    y = data.draw(tensors(shape, DTYPES if wild else WHOLE if labels else FLOATS, largest=1.9))
    loss = data.draw(st.sampled_from(["squared", "cross_entropy", nn.MSELoss()]))
    kind = data.draw(st.sampled_from(["fisher", "ggn", "hessian"]))
    method = data.draw(st.sampled_from(["auto", "lanczos", "dense"]))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    result = measured(model, (x, y), loss, kind, method=method, seed=2, tolerance=1e-4)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    if isinstance(result, str):
        assert "\n" not in result
        assert not is_plain(m, given_width - inputs, x, y, labels, outputs, loss)
        return
    compute = torch.float32 if dtype is torch.bfloat16 else dtype
    with torch.random.fork_rng():
        torch.manual_seed(2)
        drawn = torch.empty(m, width, dtype=compute).bernoulli_(0.6).double() / 0.6
    mask = drawn if dropout else torch.ones(m, width).double()
    values, targets = in_the_models(x, compute), as_targets(y, labels, outputs, loss, compute)
    expected = eigenvalues(
        model, lambda p: formula(p, values, mask), lambda f: by_formula(f, targets, loss), kind
    )
    rough = 1e-8 if compute is torch.float64 else 2e-3
    assert abs(result.largest_eigenvalue - expected[0]) <= max(2e-4, rough) * max(abs(expected).max(), 1e-3)


def as_targets(y: Any, labels: bool, outputs: int, loss: Any, dtype: torch.dtype) -> Tensor:
    """One-hot rows, or values of the outputs' shape."""
    values = in_the_models(y, dtype)
    if labels and (outputs > 1 or loss == "cross_entropy"):
        return torch.eye(outputs, dtype=torch.float64)[values.long()]
    return values.reshape(-1, outputs)


def by_formula(f: Tensor, targets: Tensor, loss: Any) -> Tensor:
    if loss == "cross_entropy":
        return -(targets * (f - torch.logsumexp(f, 1, keepdim=True))).sum(1).mean()
    squares = (f - targets) ** 2
    return squares.sum() / (2 * len(f)) if loss == "squared" else squares.mean()


def is_plain(m: int, excess: int, x: Any, y: Any, labels: bool, outputs: int, loss: Any) -> bool:
    """Whether nothing speaks against measuring: then a refusal would be wrong."""
    inputs = torch.as_tensor(np.array(x) if isinstance(x, np.ndarray) else x)
    targets = torch.as_tensor(np.array(y) if isinstance(y, np.ndarray) else y)
    fits = m > 1 and excess == 0 and len(targets) == m and inputs.is_floating_point()
    if targets.is_complex():
        return False
    if not labels:
        return fits and loss != "cross_entropy"
    takes_labels = outputs > 1 and not targets.is_floating_point() and int(targets.long().max()) < outputs
    return fits and takes_labels


def test_batch_norm_of_equal_samples_has_a_hessian_with_rows_of_mere_round_off() -> None:
    model = model_of(1, 1, 1, torch.float64, dropout=False)
    x, y = torch.full((2, 1), -0.0225, dtype=torch.float64), torch.tensor([[-0.015], [-1.6465]]).double()
    expected = eigenvalues(
        model,
        lambda p: formula(p, x, torch.ones(2, 1).double()),
        lambda f: by_formula(f, y, "squared"),
        "hessian",
    )
    result = curvature(model, (x, y), kind="hessian", method="dense")
    assert result.largest_eigenvalue == pytest.approx(expected[0], rel=1e-9)


@FUZZ
@given(data=st.data())
def test_structures_of_any_kind_are_read_or_refused_in_one_line(data: Any) -> None:
    leaf = st.one_of(
        tensors((3, 2), DTYPES),
        st.none(),
        st.integers(),
        st.text(max_size=2),
        st.just(torch.zeros(0, 2)),
        st.just(torch.full((3, 2), float("nan"))),
        st.just(np.array(["a", "b"])),
    )
    structure = st.recursive(
        leaf,
        lambda part: st.one_of(
            st.lists(part, max_size=3),
            st.tuples(part, part),
            st.dictionaries(st.sampled_from(["x", "y", "labels", "input"]), part, max_size=3),
        ),
        max_leaves=6,
    )
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    result = measured(model, data.draw(structure))
    if isinstance(result, str):
        assert "\n" not in result
        assert result.startswith("expected ")
    else:
        assert result.status == "converged"
    assert torch.equal(model.weight, before)
    assert model.weight.grad is None
