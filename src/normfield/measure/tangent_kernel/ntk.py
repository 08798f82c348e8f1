"""The neural tangent kernel of any module at its present parameters, in the mode in which it trains."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput, NumericalFailure
from normfield.measure.subject.batches import Batch, Batches
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.modes import batch_norm_statistics, batch_normalised
from normfield.measure.subject.survey import survey
from normfield.measure.subject.untouched import untouched
from normfield.measure.tangent_kernel.ntk_result import EmpiricalNTK
from normfield.measure.tangent_kernel.ntk_rows import Rows, grouped, row_bytes, rows_of
from normfield.samples import Samples, count, like, read_samples

ROWS_BYTES = 2 * 2**30
"""The most memory for rows of J held at a time, in bytes; parameters are taken in groups that fit."""

MATRIX_BYTES = 2 * 2**30
"""The most memory for the kernel itself, in bytes."""

_COLUMNS = 2**16
_BLOCK = 64


def _chosen(function: ModelFunction, parameters: Any) -> list[int]:
    """Indices of the parameters to differentiate by."""
    if isinstance(parameters, str) and parameters == "all":
        return list(range(len(function.names)))
    names = [parameters] if isinstance(parameters, str) else parameters
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise InvalidInput(
            expected='parameters "all" or names of parameters or submodules', got=repr(parameters)
        )
    for name in names:
        if not any(_is_under(known, name) for known in function.names):
            raise InvalidInput(
                expected=f"names among {', '.join(function.names[:8])}{', …' if len(function.names) > 8 else ''}",
                got=repr(name),
                instead="name a trainable parameter or a submodule that has one",
            )
    return [
        index for index, known in enumerate(function.names) if any(_is_under(known, name) for name in names)
    ]


def _is_under(known: str, name: str) -> bool:
    return known == name or known.startswith(f"{name}.")


def _read(function: ModelFunction, inputs: Any, name: str, statistics: str) -> tuple[Samples, int]:
    """Inputs as the model takes them, looked over, and the number of outputs of a sample."""
    samples = like(read_samples(inputs, name), function.parameters[0])
    if count(samples) == 0:
        raise InvalidInput(expected=f"at least one sample in {name}", got="none")
    shape = survey(function, Batches((Batch(samples, torch.zeros(count(samples))),)), None, statistics)
    size = 1
    for length in shape:
        size *= length
    return samples, size


def _check_memory(
    function: ModelFunction, chosen: list[int], sides: tuple[int, int], per_sample: int
) -> None:
    """Refuse a kernel, or rows of one parameter, above the bounds; sides in samples."""
    rows, columns = (n * per_sample for n in sides)
    matrix, held = (
        8 * rows * columns,
        max(row_bytes(function, [index]) for index in chosen) * sum({rows, columns}),
    )
    for what, needed, most in [
        ("the kernel", matrix, MATRIX_BYTES),
        ("one parameter's rows", held, ROWS_BYTES),
    ]:
        if needed > most:
            raise InvalidInput(
                expected=f"{what} within {most} bytes",
                got=f"{needed} bytes for {rows} by {columns} rows",
                instead="take fewer samples, some of the parameters, or trace_outputs=True",
            )


def _add_products(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left·rightᵀ in float64, some columns at a time."""
    for a, b in zip(left.split(_COLUMNS, dim=1), right.split(_COLUMNS, dim=1), strict=True):
        total += a.double() @ b.double().T


def _add_squares(total: Tensor, rows: Tensor) -> None:
    """The lower triangle, block by block, of total += rows·rowsᵀ."""
    for part in rows.split(_COLUMNS, dim=1):
        wide = part.double()
        for start in range(0, len(wide), _BLOCK):
            block = slice(start, start + _BLOCK)
            total[start:, block] += wide[start:] @ wide[block].T


def _kernel(
    left: Rows, right: Rows, outputs: Sequence[int], groups: list[list[int]], sides: tuple[int, int]
) -> Tensor:
    """Θ of these outputs (n·len(outputs), n′·len(outputs)), summed over groups of parameters."""
    total = torch.zeros([n * len(outputs) for n in sides], dtype=torch.float64)
    for group in groups:
        rows = left(outputs, group)
        total = total.to(rows.device)
        if right is left:
            _add_squares(total, rows)
        else:
            _add_products(total, rows, right(outputs, group))
    return total.tril() + total.tril(-1).T if right is left else total


def _selections(outputs: int, averaged: bool) -> Iterator[list[int]]:
    """Which outputs' rows are held at a time."""
    yield from ([c] for c in range(outputs)) if averaged else [list(range(outputs))]


def empirical_ntk(
    model: nn.Module,
    inputs: Any,
    other: Any = None,
    statistics: str = "batch",
    parameters: Any = "all",
    seed: int = 0,
    *,
    trace_outputs: bool = False,
) -> EmpiricalNTK:
    """Measure the neural tangent kernel of any module, batch norm in training mode included.

    With f the outputs (C for each sample) and J = ∂f/∂θ over the trainable parameters,

        Θ(x, x′) = J(x)·J(x′)ᵀ,

    in the standard parametrisation, as the module is. In training mode batch norm makes every output a function of the
    whole batch: `inputs` is one batch, and Θ belongs to that batch, not to pairs of samples; `other` is a batch of its
    own. The eigenvalues of Θ over the number of samples are those of the squared loss's Gauss-Newton matrix.

    Rows of J are held for some parameters at a time, up to 2 GiB, and products are summed in float64; where samples do
    not act on each other (no batch norm that reads the batch, and a check that agrees), rows are vectorised over
    samples, else over directions of backward passes. The module is left as it was, also on errors.

    Parameters
    ----------
    model : nn.Module
        Returns one tensor (n, …).
    inputs : tensor, array, or nested tuple, list or dict of them
        n samples.
    other : like inputs, optional
        n′ samples; without them Θ(inputs, inputs).
    statistics : {"batch", "frozen", "running"}
        What batch norms normalise by, as for `curvature`.
    parameters : "all", or names
        Names of parameters or submodules to differentiate by.
    seed : int
        Of a check, and of torch inside.
    trace_outputs : bool
        Only the mean over outputs (1/C) Σ_c Θ_cc, (n, n′): 1/C² of the memory for Θ and 1/C of that for rows.

    Returns
    -------
    EmpiricalNTK

    Raises
    ------
    InvalidInput
        Inputs that the model does not take, unknown names, a kernel or one parameter's rows above 2 GiB.
    NumericalFailure
        A derivative is NaN or infinite.

    Examples
    --------
    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> kernel = empirical_ntk(layer, torch.tensor([[1.0, 0.0], [3.0, 4.0]]))
    >>> kernel.matrix.tolist()
    [[1.0, 3.0], [3.0, 25.0]]
    """
    started = time.perf_counter()
    function = ModelFunction.of(model, seed)
    chosen = _chosen(function, parameters)
    with untouched(function.model, seed, function.device), batch_norm_statistics(function.model, statistics):
        given, outputs = _read(function, inputs, "inputs", statistics)
        against = given if other is None else _read_other(function, other, statistics, outputs)
        sides = (count(given), count(against))
        _check_memory(function, chosen, sides, 1 if trace_outputs else outputs)
        meet = bool(batch_normalised(function.model, statistics))
        left = rows_of(function, given, meet, torch.Generator().manual_seed(seed))
        right = (
            left if other is None else rows_of(function, against, meet, torch.Generator().manual_seed(seed))
        )
        held = (sum(sides) if other is not None else sides[0]) * (1 if trace_outputs else outputs)
        groups = grouped(function, chosen, ROWS_BYTES / held)
        parts = [
            _kernel(left, right, some, groups, sides) for some in _selections(outputs, averaged=trace_outputs)
        ]
    matrix = torch.stack(parts).mean(0)
    if not torch.isfinite(matrix).all():
        raise NumericalFailure("not finite: a derivative of the outputs is NaN or infinite")
    return EmpiricalNTK(
        matrix=matrix.cpu().numpy(),
        samples=sides[0],
        other_samples=sides[1],
        outputs=outputs,
        averaged=trace_outputs,
        is_square=other is None,
        statistics=statistics,
        parameters=sum(function.parameters[index].numel() for index in chosen),
        way=left.way,
        seconds=time.perf_counter() - started,
    )


def _read_other(function: ModelFunction, other: Any, statistics: str, outputs: int) -> Samples:
    samples, size = _read(function, other, "other", statistics)
    if size != outputs:
        raise InvalidInput(expected=f"as many outputs for other as for inputs, {outputs}", got=f"{size}")
    return samples
