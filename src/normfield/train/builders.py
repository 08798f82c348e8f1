"""From what the user calls a model to a fresh module per seed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from normfield.data import DataSet, load
from normfield.data.random_state import seeded_random_state
from normfield.errors import InvalidInput
from normfield.nets import build as build_network
from normfield.network import Network
from normfield.train.user_functions import made

Build = Callable[[int], nn.Module]

WEIGHTS_AND_ORDER = "initial weights and data order"
ORDER_ONLY = "data order only"


def as_builder(build: object) -> Build:
    """Seed -> a module that nobody else holds: from a Network, a module (copied) or a callable.

    A callable may take no seed, or ignore it, and draw from the global generators: these are started at the seed for
    the call, and put back after it. What it returns is copied, so that a module returned twice is not trained twice.
    """
    if isinstance(build, Network):
        return lambda seed: build_network(build, seed=seed)
    if isinstance(build, nn.Module):
        return lambda seed: copy.deepcopy(build)
    if callable(build):
        return lambda seed: _called(build, seed)
    raise InvalidInput(
        expected="build as a callable seed -> torch.nn.Module, a Network or a module",
        got=type(build).__name__,
        instead="give e.g. lambda seed: nf.build(net, seed=seed)",
    )


def what_varies(first: nn.Module, second: nn.Module) -> str:
    """Whether the modules of two seeds have two sets of initial parameters, or only two orders of the data."""
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return ORDER_ONLY if all(torch.equal(one, other) for one, other in pairs) else WEIGHTS_AND_ORDER


def data_for(build: object, data: Any, samples: int | None) -> DataSet:
    """The data set, cut to so many samples; for a Network, which takes floats, in the shape that it states."""
    if isinstance(build, Network):
        return load(data, samples=samples, inputs="floats").shaped(build.input_shape)
    return load(data, samples=samples)


def _called(build: Callable, seed: int) -> nn.Module:
    with seeded_random_state(seed):
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)
        model = made(build, seed)
    if not isinstance(model, nn.Module):
        raise InvalidInput(
            expected="build(seed) to return a torch.nn.Module",
            got=type(model).__name__,
            instead="return the module itself",
        )
    if any(map(is_lazy, [*model.parameters(), *model.buffers()])):
        raise InvalidInput(
            expected="build(seed) to return a module with initialised parameters",
            got="a lazy one",
            instead="run one forward pass through it in build",
        )
    return copy.deepcopy(model)
