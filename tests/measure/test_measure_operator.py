"""The curvature matrix as an operator: its products, what it keeps and leaves, and algorithms of others on it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh, lobpcg, svds
from torch import nn
from written_out import Case, convolutional_case, cross_entropy, dense_case, quartic, squared

from normfield.errors import InvalidInput
from normfield.measure import (
    CurvatureOperator,
    curvature,
    curvature_operator,
    curvature_trace,
    layer_curvature,
    spectral_density,
)

LOSSES = {"squared": ("squared", squared), "cross_entropy": ("cross_entropy", cross_entropy)}
LOSSES["callable"] = (quartic, quartic)


@pytest.fixture(params=[dense_case, convolutional_case], ids=["dense", "convolutional"])
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(3)
    return request.param()


def made(case: Case, *rest: object, **options: object) -> CurvatureOperator:
    return curvature_operator(case.model, case.batch(slice(None)), *rest, **options)


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
@pytest.mark.parametrize("loss", LOSSES)
def test_products_are_those_of_the_dense_matrix(case: Case, loss: str, kind: str) -> None:
    given, by_formula = LOSSES[loss]
    batches = [case.batch(slice(0, 4)), case.batch(slice(4, None))]
    sizes = [len(y) for _, y in batches]
    parts = [case.matrix("batch", kind, by_formula, *batch) for batch in batches]
    matrix = sum(m * part for m, part in zip(sizes, parts, strict=True)) / sum(sizes)
    operator = curvature_operator(case.model, batches, given, kind)
    assert operator.shape == matrix.shape
    columns = torch.randn(len(matrix), 3, dtype=torch.float64)
    np.testing.assert_allclose(operator @ columns, matrix @ columns.numpy(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(operator @ columns[:, 0], matrix @ columns[:, 0].numpy(), rtol=0, atol=1e-10)
    assert operator.products == 4


@pytest.mark.parametrize("statistics", ["batch", "frozen", "running"])
def test_the_statistics_hold_in_every_product_whatever_the_mode_since(case: Case, statistics: str) -> None:
    batch = case.batch(slice(None))
    matrix = case.matrix(statistics, "ggn", squared, *batch)
    operator = curvature_operator(case.model, batch, "squared", "ggn", statistics)
    case.model.eval()
    np.testing.assert_allclose(operator @ np.eye(len(matrix)), matrix, rtol=0, atol=1e-10)
    assert not any(module.training for module in case.model.modules())


def test_the_result_is_of_the_kind_that_came(case: Case) -> None:
    operator = made(case)
    vector = torch.randn(operator.shape[0], dtype=torch.float64)
    assert isinstance(operator @ vector, torch.Tensor)
    assert isinstance(operator @ vector.numpy(), np.ndarray)
    assert (operator @ vector.float()).dtype == operator.dtype == torch.float64
    assert operator.device == torch.device("cpu")
    assert (operator @ torch.zeros(operator.shape[0], 0)).shape == (operator.shape[0], 0)
    with pytest.raises(TypeError):
        operator @ [1.0]


def test_it_is_its_own_transpose_from_either_side(case: Case) -> None:
    operator = made(case)
    rows = torch.randn(2, operator.shape[0], dtype=torch.float64)
    assert operator.T is operator
    torch.testing.assert_close(rows @ operator, (operator @ rows.T).T)
    np.testing.assert_allclose(rows[0].numpy() @ operator, operator @ rows[0].numpy())


def test_split_names_the_pieces(case: Case) -> None:
    operator = made(case)
    pieces = operator.split(case.theta())
    assert tuple(pieces) == operator.parameter_names
    for name, parameter in case.model.named_parameters():
        assert torch.equal(pieces[name], parameter)


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
def test_eigsh_agrees_with_curvature_and_the_dense_matrix(case: Case, kind: str) -> None:
    batch = case.batch(slice(None))
    operator = curvature_operator(case.model, batch, "cross_entropy", kind)
    start = np.random.default_rng(0).standard_normal(operator.shape[0])
    values, vectors = eigsh(operator.to_scipy(), k=10, which="LA", v0=start)
    dense = np.linalg.eigvalsh(case.matrix("batch", kind, cross_entropy, *batch))[::-1][:10]
    ours = curvature(case.model, batch, "cross_entropy", kind, top=10, tolerance=1e-11, method="lanczos")
    np.testing.assert_allclose(values[::-1], dense, atol=1e-10 * dense[0])
    np.testing.assert_allclose(ours.eigenvalues, dense, atol=1e-10 * dense[0])
    found = ours.vectors.numpy()
    np.testing.assert_allclose(operator @ found, found * ours.eigenvalues, atol=1e-5 * dense[0])
    assert abs(vectors[:, -1] @ found[:, 0]) == pytest.approx(1, abs=1e-6)


def test_other_algorithms_of_scipy_run(case: Case) -> None:
    operator = made(case, "cross_entropy", "ggn").to_scipy()
    dense = np.linalg.eigvalsh(operator @ np.eye(operator.shape[0]))[::-1]
    draw = np.random.default_rng(1)
    block = draw.standard_normal((operator.shape[0], 3))
    assert lobpcg(operator, block, tol=1e-9, maxiter=300)[0][0] == pytest.approx(dense[0], rel=1e-8)
    largest = svds(operator, k=1, v0=draw.standard_normal(operator.shape[0]), return_singular_vectors=False)
    assert largest[0] == pytest.approx(dense[0], rel=1e-8)


def hutchinson(operator: object, count: int) -> float:
    """A trace as others estimate it: from the shape, dtype, device and @ alone."""
    size, dtype, device = operator.shape[0], operator.dtype, operator.device
    probes = torch.randn(size, count, generator=torch.Generator().manual_seed(0), dtype=dtype).to(device)
    return float(torch.einsum("ij,ij", probes, operator @ probes)) / count


def test_shape_dtype_device_and_products_are_all_that_others_need(case: Case) -> None:
    operator = made(case, "cross_entropy", "hessian")
    matrix = torch.as_tensor(case.matrix("batch", "hessian", cross_entropy, *case.batch(slice(None))))
    assert hutchinson(operator, 5) == pytest.approx(hutchinson(matrix, 5), rel=1e-9)


def test_an_algorithm_of_curvlinops_runs_and_gives_the_same(case: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, in what curvlinops imports
        import curvlinops
    operator = made(case, "cross_entropy", "ggn")
    matrix = operator @ torch.eye(operator.shape[0], dtype=torch.float64)
    torch.manual_seed(0)
    ours = curvlinops.hutchinson_trace(operator, num_matvecs=5)
    torch.manual_seed(0)
    assert float(ours) == pytest.approx(float(curvlinops.hutchinson_trace(matrix, num_matvecs=5)), rel=1e-9)


def change_weight(model: nn.Module) -> None:
    with torch.no_grad():
        model.one.weight.mul_(1.001)


def change_data(model: nn.Module) -> None:
    model.head.bias.data = model.head.bias.data + 1


def replace_parameter(model: nn.Module) -> None:
    model.head.bias = nn.Parameter(torch.zeros(3, dtype=torch.float64))


def freeze(model: nn.Module) -> None:
    model.head.bias.requires_grad_(False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_weight, "other values of 'one.weight'"),
        (change_data, "other values of 'head.bias'"),
        (replace_parameter, "other values of 'head.bias'"),
        (freeze, "another choice of trainable parameters"),
    ],
)
def test_a_changed_model_is_refused(change: object, words: str) -> None:
    case = dense_case()
    operator = made(case)
    vector = torch.ones(operator.shape[0])
    before = operator @ vector
    change(case.model)
    with pytest.raises(InvalidInput) as refusal:
        operator @ vector
    assert str(refusal.value) == (
        f"expected the model as it was when the operator was made, got {words}; "
        "make a new one with curvature_operator"
    )
    assert not torch.equal(before, torch.zeros_like(before))


def test_running_statistics_count_only_where_they_are_read() -> None:
    case = dense_case()
    training, running = made(case), made(case, statistics="running")
    vector = torch.ones(training.shape[0], dtype=torch.float64)
    before = training @ vector
    case.model.train()(case.x)  # moves the running statistics
    torch.testing.assert_close(training @ vector, before, rtol=0, atol=0)
    with pytest.raises(InvalidInput, match=r"norm_one\.num_batches_tracked"):
        running @ vector


def test_a_product_leaves_the_model_as_found_also_when_it_raises() -> None:
    case = dense_case()
    calls = iter(range(100))

    def fail_late(*_: object) -> None:
        1 / (next(calls) < 6)

    case.model.head.register_forward_pre_hook(fail_late)
    operator = curvature_operator(case.model, [case.batch(slice(0, 5)), case.batch(slice(5, 11))])
    state, random = {k: v.clone() for k, v in case.model.state_dict().items()}, torch.get_rng_state()
    vector = torch.ones(operator.shape[0])
    with pytest.raises(ZeroDivisionError):
        [operator @ vector for _ in range(10)]
    assert all(torch.equal(value, state[name]) for name, value in case.model.state_dict().items())
    assert "forward" not in vars(case.model.norm_one)
    assert case.model.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in case.model.parameters())


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        (torch.ones(7), "shape (7,)"),
        (torch.ones(99, 2, 2), "shape (99, 2, 2)"),
        (np.ones((3, 99)), "shape (3, 99)"),
        (torch.ones(99, dtype=torch.complex64), "expected real vectors, got complex64"),
        (np.array(["a"] * 99), "expected a numeric array"),
    ],
)
def test_bad_vectors(vector: object, words: str) -> None:
    operator = made(dense_case())
    assert operator.shape == (99, 99)
    with pytest.raises(InvalidInput) as refusal:
        operator @ vector
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_split_refuses_other_lengths() -> None:
    with pytest.raises(InvalidInput, match=r"a tensor of shape \(99,\), got shape \(3,\)"):
        made(dense_case()).split(torch.ones(3))


def test_it_says_what_it_is() -> None:
    operator = made(dense_case(), "cross_entropy", "hessian")
    assert repr(operator) == (
        "CurvatureOperator(99×99, hessian of cross_entropy, statistics='batch', 11 samples)"
    )


def test_ghost_batches_are_batches_of_their_size() -> None:
    """Every measurement passes on what `curvature` takes: the matrix is the mean of the ghost batches' own."""
    case = dense_case()
    ghosts = [case.batch(slice(0, 4)), case.batch(slice(4, 8))]
    whole = case.batch(slice(0, 8))
    matrix = sum(case.matrix("batch", "ggn", squared, *ghost) for ghost in ghosts) / 2
    operator = curvature_operator(case.model, whole, kind="ggn", ghost_batch_size=4)
    np.testing.assert_allclose(operator @ np.eye(len(matrix)), matrix, rtol=0, atol=1e-10)
    trace = curvature_trace(case.model, whole, ghost_batch_size=4)
    density = spectral_density(case.model, whole, ghost_batch_size=4)
    layers = layer_curvature(case.model, whole, ghost_batch_size=4)
    assert trace.value == pytest.approx(np.trace(matrix))
    assert density.moments(2)[1].value == pytest.approx((matrix**2).sum() / len(matrix))
    head = np.linalg.eigvalsh(matrix[-15:, -15:])[-1]
    assert layers["head"].largest_eigenvalue == pytest.approx(head)
    for found in (operator, trace, density, layers):
        assert found.ghost_batch_size == 4
        assert found.assumes
