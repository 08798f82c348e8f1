"""What theory may take a user's module for: its description, or why it has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from normfield.data import DataSet
from normfield.errors import InvalidInput, NotCovered
from normfield.nets import examine
from normfield.network import Network


@dataclass(frozen=True)
class Reading:
    """A module as theory sees it.

    Attributes
    ----------
    network
        Its description; None where it has none.
    refusal
        Why it has none; empty where there is one.
    extrapolation
        What theory has to add, where the module's weights are not what it takes them for; else empty.
    """

    network: Network | None
    refusal: str = ""
    extrapolation: str = ""


def read(module: nn.Module, data: DataSet) -> Reading:
    """Follow the module's forward method with inputs of the data's shape."""
    if not isinstance(data.inputs, torch.Tensor):
        return Reading(None, "a description takes one tensor, and these inputs are several")
    try:
        found = examine(module, data.inputs[:2])
    except (NotCovered, InvalidInput) as refusal:
        return Reading(None, str(refusal))
    if found.network.output_shape != (data.outputs,):
        return Reading(None, f"its outputs have shape {found.network.output_shape}, not ({data.outputs},)")
    return Reading(found.network, extrapolation=_departure(found.departures))


def _departure(departures: Sequence[str]) -> str:
    if not departures:
        return ""
    more = f" (and {len(departures) - 1} more, see nf.examine)" if len(departures) > 1 else ""
    return f" Theory is an extrapolation: {departures[0]}{more}."
