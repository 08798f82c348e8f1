"""Length and direction of every weight, and how both move through training.

[Salimans] is Salimans and Kingma, "Weight normalization", NeurIPS 2016.
"""

from __future__ import annotations

from torch import nn

from normfield.errors import InvalidInput
from normfield.measure.invariance.direction_result import LengthDirection, WeightDirection
from normfield.measure.invariance.unit_rows import UnitRows
from normfield.measure.subject.function import ModelFunction


def length_direction(model: nn.Module) -> LengthDirection:
    """Split every weight into the lengths and the directions of its units: W_j = g_j·v_j, ‖v_j‖ = 1 [Salimans].

    Where the loss does not feel the length (`scale_invariance`), gradient descent only turns v, and the length
    grows; a later snapshot says by how much with ``later.change_from(earlier)``.

    Parameters
    ----------
    model : nn.Module
        Its weights are its trainable parameters of two dimensions or more; the first dimension counts the units, of
        transposed convolutions the second one in each group.

    Returns
    -------
    LengthDirection
        Copies: training goes on without changing them.

    Raises
    ------
    InvalidInput
        No module, or one without trainable weights.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.Linear(2, 1)
    >>> with torch.no_grad():
    ...     _ = layer.weight.copy_(torch.tensor([[3.0, 4.0]]))
    >>> split = length_direction(layer).weights[0]
    >>> split.lengths.tolist(), split.directions.round(3).tolist()
    ([5.0], [[0.6, 0.8]])
    """
    function = ModelFunction.of(model)
    named = zip(function.names, function.parameters, strict=True)
    weights = tuple(
        WeightDirection.of(
            name, UnitRows.of(function.model, name).rows(parameter.detach().double()).cpu().numpy()
        )
        for name, parameter in named
        if parameter.dim() > 1
    )
    if not weights:
        raise InvalidInput(
            expected="a module with trainable weights of two dimensions or more",
            got=f"{type(function.model).__name__} without",
            instead="set requires_grad=True on them",
        )
    return LengthDirection(weights)
