"""What a result says, and in which forms."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure import Curvature, curvature, output_covariance

X = torch.randn(60, 20, generator=torch.Generator().manual_seed(0))
Y = torch.arange(60) % 12


def net(outputs: int = 12) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, outputs))


@pytest.fixture(scope="module")
def result() -> Curvature:
    return curvature(net(), (X, Y))


def test_attributes(result: Curvature) -> None:
    assert (result.method, result.kind, result.loss, result.statistics) == (
        "lanczos",
        "fisher",
        "squared",
        "batch",
    )
    assert (result.samples, result.batches, result.dropped_samples) == (60, 1, 0)
    assert result.eigenvalues.dtype == np.float64
    assert len(result.eigenvalues) == result.cluster_size == 12
    assert (np.diff(result.eigenvalues) <= 0).all()
    assert result.cluster_mean == pytest.approx(result.eigenvalues.mean())
    assert tuple(result.vectors.shape) == (sum(p.numel() for p in net().parameters()), 12)
    assert result.largest_check.products >= 2
    assert result.products >= 24
    assert result.seconds > 0


def test_learning_rate(result: Curvature) -> None:
    limit = result.max_learning_rate()
    assert limit == pytest.approx(2 / result.largest_eigenvalue)
    assert result.max_learning_rate(momentum=0.9) == pytest.approx(1.9 * limit)
    for momentum in (1.0, -0.1):
        with pytest.raises(InvalidInput, match="a momentum from 0 to below 1"):
            result.max_learning_rate(momentum)


def test_gradient_descent_turns_at_the_limit() -> None:
    """On a linear network the loss is the quadratic itself: it falls below the limit and grows above."""
    torch.manual_seed(0)
    model, y = nn.Linear(20, 1).double(), torch.randn(60, 1, dtype=torch.float64)
    limit = curvature(model, (X.double(), y), kind="hessian", tolerance=1e-9).max_learning_rate(momentum=0.5)
    for factor, grows in ((0.9, False), (1.1, True)):
        copy = nn.Linear(20, 1).double()
        copy.load_state_dict(model.state_dict())
        optimiser = torch.optim.SGD(copy.parameters(), lr=factor * limit, momentum=0.5)
        for _ in range(500):
            optimiser.zero_grad()
            (0.5 * (copy(X.double()) - y).square().sum() / 60).backward()
            optimiser.step()
        size = float(copy.weight.detach().norm())
        assert (size > 1e4) == grows


def test_text(result: Curvature) -> None:
    text = str(result)
    assert 'fisher of squared, statistics="batch", 60 samples in 1 batch\n' in text
    assert f"largest eigenvalue {result.largest_eigenvalue:.6g}" in text
    assert f"mean of the top 12 {result.cluster_mean:.6g}" in text
    assert f"largest stable learning rate {result.max_learning_rate():.4g}" in text
    assert "converged: lanczos" in text
    assert "nothing larger seen" in text


def test_frame(result: Curvature) -> None:
    frame = result.to_frame()
    assert list(frame["rank"]) == list(range(1, 13))
    np.testing.assert_array_equal(frame["eigenvalue"], result.eigenvalues)
    assert frame["in_cluster"].all()
    assert set(frame["statistics"]) == {"batch"}


def test_json(result: Curvature) -> None:
    content = json.loads(result.to_json())
    assert content["largest_eigenvalue"] == result.largest_eigenvalue
    assert content["eigenvalues"] == list(result.eigenvalues)
    assert content["max_learning_rate"] == result.max_learning_rate()
    assert content["largest_check"]["products"] == result.largest_check.products
    assert "reason" not in content
    assert "vectors" not in content


def concave(outputs: Tensor, targets: Tensor) -> Tensor:
    return -(outputs**2).mean()


def test_no_limit_where_nothing_curves_upwards() -> None:
    result = curvature(nn.Linear(20, 2, bias=False), (X[:, :20], Y), concave, "ggn", method="lanczos")
    assert result.largest_eigenvalue < 0
    assert result.max_learning_rate() == math.inf
    assert "no learning-rate limit" in str(result)
    content = json.loads(result.to_json())
    assert content["max_learning_rate"] is None
    assert content["reason"] == "max_learning_rate: the largest eigenvalue is not positive and sets no limit"


def test_json_of_a_failure() -> None:
    result = curvature(net(), (X, Y), max_products=1, method="lanczos", on_failure="return")
    content = json.loads(result.to_json())
    assert content["status"].startswith("not converged")
    assert content["largest_check"]["seen"] is None
    assert "no random start was made" in content["reason"]


def test_many_outputs_give_a_capped_cluster() -> None:
    batch = (X[:20], torch.zeros(20, 40))
    result = curvature(net(40), batch)
    assert (result.cluster_size, result.method) == (16, "lanczos")
    exact = curvature(net(40), batch, method="dense")
    np.testing.assert_allclose(result.eigenvalues, exact.eigenvalues, rtol=1e-3)


def test_more_eigenvalues_than_outputs_or_rank() -> None:
    model = nn.Linear(3, 2, bias=False).double()
    x = torch.tensor([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 0]], dtype=torch.float64)
    for method in ("lanczos", "dense"):
        result = curvature(model, (x, torch.zeros(3, 2)), top=9, method=method)
        np.testing.assert_allclose(result.eigenvalues, [4 / 3, 4 / 3, 1 / 3, 1 / 3, 0, 0], atol=1e-12)
        vectors = result.vectors.numpy()
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(6), atol=1e-7)


def test_a_linear_layer_by_hand() -> None:
    """Fisher of a linear layer with one output: (1/m) Σ xxᵀ."""
    result = curvature(nn.Linear(20, 1, bias=False).double(), (X, torch.zeros(60)), tolerance=1e-10)
    exact = np.linalg.eigvalsh((X.double().T @ X.double() / 60).numpy())[-1]
    assert result.largest_eigenvalue == pytest.approx(exact, rel=1e-9)


def test_the_same_seed_gives_the_same_result() -> None:
    first, second = (curvature(net(), (X, Y), seed=3) for _ in range(2))
    assert np.array_equal(first.eigenvalues, second.eigenvalues)
    assert first.largest_check == second.largest_check


def test_methods_agree() -> None:
    for loss, kind in [("squared", "fisher"), ("cross_entropy", "ggn")]:
        dense = curvature(net(), (X, Y), loss, kind, method="dense")
        lanczos = curvature(net(), (X, Y), loss, kind, method="lanczos", tolerance=1e-5)
        assert lanczos.largest_eigenvalue == pytest.approx(dense.largest_eigenvalue, rel=1e-4)


def test_the_yardstick_takes_at_most_five_products() -> None:
    """A dense 784-512-512-10 network, cross-entropy, 512 samples: check included."""
    torch.manual_seed(0)
    hidden = [
        (nn.Linear(a, 512), nn.BatchNorm1d(512, track_running_stats=False), nn.ReLU()) for a in (784, 512)
    ]
    model = nn.Sequential(*hidden[0], *hidden[1], nn.Linear(512, 10))
    batch = (torch.randn(512, 784), torch.randint(0, 10, (512,)))
    result = curvature(model, batch, "cross_entropy", "ggn")
    finer = curvature(model, batch, "cross_entropy", "ggn", tolerance=1e-5)
    assert result.products <= 5
    assert result.largest_eigenvalue == pytest.approx(finer.largest_eigenvalue, rel=1e-3)


def test_output_covariance() -> None:
    covariance = output_covariance(net(), [(X[:40], Y[:40]), (X[40:], Y[40:])])
    assert covariance.dropped_samples == 20
    model = net().train()
    p = torch.softmax(model(X[:40]), 1).double().detach()
    expected = sum(torch.diag(row) - torch.outer(row, row) for row in p) / 40
    np.testing.assert_allclose(covariance.matrix, expected, atol=1e-7)
    assert covariance.largest_eigenvalue == pytest.approx(
        float(torch.linalg.eigvalsh(expected)[-1]), rel=1e-6
    )
    assert json.loads(covariance.to_json())["matrix"] == covariance.matrix.tolist()
    assert covariance.to_frame().shape == (12, 12)
    assert "12 classes over 40 samples" in str(covariance)


def test_cross_entropy_is_squared_loss_times_the_output_covariance() -> None:
    """At initialisation, to 10 % on a small network."""
    torch.manual_seed(2)
    wide = nn.Sequential(nn.Linear(20, 400), nn.BatchNorm1d(400), nn.ReLU(), nn.Linear(400, 12))
    product = curvature(wide, (X, Y)).cluster_mean * output_covariance(wide, (X, Y)).largest_eigenvalue
    assert curvature(wide, (X, Y), "cross_entropy", "ggn").largest_eigenvalue == pytest.approx(
        product, rel=0.1
    )
