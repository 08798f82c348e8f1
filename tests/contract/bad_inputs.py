"""The registry of mistakes at the Python door: what is called, and words that its one line must hold.

One entry is one mistake. `MODEL` and `DATA` are the only things that a call may touch, and it must leave them as
they were; `{folder}` in a path is an empty folder, and it must stay empty.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import normfield as nf

X = torch.randn(24, 4, generator=torch.Generator().manual_seed(1))
Y = torch.arange(24) % 3
DATA = (X, Y)
NET = nf.mlp(inputs=4, width=6, depth=2, outputs=3)
MODEL = nf.build(NET, seed=0)


class Raising(nn.Linear):
    """A forward that fails as a user's might."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        raise KeyError("mask")


RAISING = Raising(4, 3)
NARROW = nn.Linear(4, 3)
CONVOLUTION = nn.Conv2d(1, 1, 1)
ATTENTION = nn.TransformerEncoderLayer(4, 2, batch_first=True)
Entry = tuple[Callable[[Path], Any], str]

DESCRIPTIONS: dict[str, Entry] = {
    "no units": (lambda _: nf.Dense(0), "the width of Dense"),
    "half a unit": (lambda _: nf.Dense(2.5), "the width of Dense"),
    "variance of nothing": (lambda _: nf.Dense(3, weight_variance=0.0), "weight_variance above 0"),
    "kernel of three numbers": (lambda _: nf.Conv(3, kernel=(3, 3, 3)), "kernel"),
    "no stride": (lambda _: nf.Conv(3, stride=0), "stride"),
    "negative epsilon": (lambda _: nf.BatchNorm(eps=-1e-5), "eps"),
    "NaN gamma": (lambda _: nf.BatchNorm(gamma=float("nan")), "gamma"),
    "unknown activation": (lambda _: nf.Activation("rely"), "expected an activation among"),
    "slope without leaky": (lambda _: nf.Activation("relu", slope=0.1), "slope with leaky_relu only"),
    "no branch": (lambda _: nf.Residual(()), "at least one layer in the branch"),
    "layers that are words": (lambda _: nf.Network((4,), ["relu"]), "layers (Dense, Conv, BatchNorm"),
    "layers that are one layer": (lambda _: nf.Network((4,), nf.Dense(3)), "a list of layers"),
    "shape of nothing": (lambda _: nf.Network((0,), [nf.Dense(3)]), "input_shape"),
    "dense layer on an image": (lambda _: nf.Network((3, 8, 8), [nf.Dense(3)]), "flat features before Dense"),
    "convolution of features": (lambda _: nf.Network((4,), [nf.Conv(3)]), "before Conv"),
    "branch of another shape": (
        lambda _: nf.Network((4,), [nf.Residual((nf.Dense(3),))]),
        "branch and shortcut of Residual to end in one shape, got (3,) and (4,)",
    ),
    "no depth": (lambda _: nf.mlp(inputs=4, width=6, depth=0, outputs=3), "depth"),
    "pool with more padding than window": (lambda _: nf.AveragePool(2, padding=2), "at most half the window"),
}

THEORY: dict[str, Entry] = {
    "a module for theory": (lambda _: nf.mean_field(MODEL), "Network"),
    "unknown statistics": (lambda _: nf.mean_field(NET, "running"), "statistics"),
    "parameters of another sort": (lambda _: nf.mean_field(NET, parameters="biases"), "parameters"),
    "no samples": (lambda _: nf.mean_field(NET, samples=0), "samples"),
    "momentum of one": (lambda _: nf.mean_field(NET).max_learning_rate(momentum=1.0), "momentum in [0, 1)"),
    "negative momentum": (
        lambda _: nf.mean_field(NET).max_learning_rate(momentum=-0.1),
        "momentum in [0, 1)",
    ),
}

MODULES: dict[str, Entry] = {
    "a module to build": (lambda _: nf.build(MODEL), "a Network"),
    "a seed of half": (lambda _: nf.build(NET, seed=0.5), "seed as a whole number"),
    "whole-number weights": (lambda _: nf.build(NET, dtype=torch.int32), "floating-point dtype"),
    "a small gamma where there is none": (lambda _: nf.init_gamma_(NARROW, 0.1), "γ in a batch norm"),
    "a gamma that is no number": (lambda _: nf.init_gamma_(MODEL, float("nan")), "gamma as a finite number"),
    "a gamma for a description": (lambda _: nf.init_gamma_(NET), "a torch.nn.Module"),
}

MEASUREMENT: dict[str, Entry] = {
    "a function for a module": (lambda _: nf.curvature(len, DATA), "a torch.nn.Module"),
    "inputs alone": (lambda _: nf.curvature(MODEL, X), "batches"),
    "targets of another length": (lambda _: nf.curvature(MODEL, (X, Y[:5])), "as many targets as inputs"),
    "labels beyond the outputs": (lambda _: nf.curvature(MODEL, (X, Y + 1)), "labels from 0 to 2"),
    "NaN in the inputs": (lambda _: nf.curvature(MODEL, (X * float("nan"), Y)), "finite inputs"),
    "one sample to a batch norm": (lambda _: nf.curvature(MODEL, (X[:1], Y[:1])), "at least 2 samples"),
    "features that do not fit": (lambda _: nf.curvature(MODEL, (X[:, :2], Y)), "inputs that the model takes"),
    "a forward that raises": (lambda _: nf.curvature(RAISING, DATA), "raised KeyError"),
    "nothing trainable": (lambda _: nf.curvature(nn.ReLU(), DATA), "trainable parameters"),
    "a lazy module": (lambda _: nf.curvature(nn.LazyLinear(3), DATA), "run one forward pass first"),
    "an unknown loss": (lambda _: nf.curvature(MODEL, DATA, "hinge"), "a loss: 'squared', 'cross_entropy'"),
    "a loss that is a class": (lambda _: nf.curvature(MODEL, DATA, nn.MSELoss), "a loss"),
    "a loss for each sample": (
        lambda _: nf.curvature(MODEL, DATA, nn.MSELoss(reduction="none")),
        'reduction="mean" or "sum"',
    ),
    "Fisher matrix of a callable": (
        lambda _: nf.curvature(MODEL, DATA, lambda f, y: f.sum()),
        'use kind="ggn" or "hessian"',
    ),
    "an unknown matrix": (lambda _: nf.curvature(MODEL, DATA, kind="kfac"), "fisher, ggn, hessian"),
    "unknown statistics of a module": (
        lambda _: nf.curvature(MODEL, DATA, statistics="eval"),
        "batch, frozen, running",
    ),
    "no eigenvalue": (lambda _: nf.curvature(MODEL, DATA, top=0), "top an integer of at least 1"),
    "no tolerance": (lambda _: nf.curvature(MODEL, DATA, tolerance=0.0), "a tolerance above 0"),
    "more digits than the type has": (
        lambda _: nf.curvature(MODEL, DATA, tolerance=1e-12),
        "convert the model with .double()",
    ),
    "no time": (lambda _: nf.curvature(MODEL, DATA, budget=0.0), "a budget above 0 seconds"),
}

DATASETS: dict[str, Entry] = {
    "an unknown name": (lambda _: nf.load("digitz"), "did you mean digits?"),
    "a file that is not there": (lambda folder: nf.load(str(folder / "no.npz")), "no.npz"),
    "no samples asked for": (lambda _: nf.load("digits", samples=0), "samples"),
    "more samples than there are": (lambda _: nf.load("digits", samples=10**6), "1,437"),
    "no such standardisation": (lambda _: nf.load("digits", standardise="unit"), "global, pixel"),
    "a number for data": (lambda _: nf.load(3), "got int"),
    "infinite inputs": (lambda _: nf.load((X / 0, Y)), "infinite"),
    "a shape of another size": (lambda _: nf.load(DATA).shaped((5,)), "a shape with the 4 entries"),
    "a batch of nothing": (lambda _: nf.load(DATA).batches(0, seed=0), "batch_size"),
}

TRAINING: dict[str, Entry] = {
    "words for a model": (
        lambda _: nf.critical_learning_rate("mlp", DATA),
        "callable seed -> torch.nn.Module",
    ),
    "a batch larger than the data": (
        lambda _: nf.critical_learning_rate(NET, DATA, batch_size=25),
        "at most 24",
    ),
    "momentum above one": (
        lambda _: nf.critical_learning_rate(NET, DATA, batch_size=8, momentum=1.5),
        "momentum",
    ),
    "no restarts": (lambda _: nf.critical_learning_rate(NET, DATA, batch_size=8, restarts=0), "restarts"),
    "no epochs": (lambda _: nf.critical_learning_rate(NET, DATA, batch_size=8, epochs=0), "epochs"),
    "advice on a run of no length": (
        lambda _: nf.suggest_learning_rate(NET, DATA, batch_size=8, epochs=1),
        "a full run of at least 16 steps, got 3",
    ),
    "advice for next to nothing": (
        lambda _: nf.suggest_learning_rate(NET, DATA, batch_size=8, steps=20, effort=0.2),
        "effort of at least 1",
    ),
    "advice from words": (
        lambda _: nf.suggest_learning_rate("mlp", DATA),
        "callable seed -> torch.nn.Module",
    ),
    "advice on a loss of no name": (
        lambda _: nf.suggest_learning_rate(NET, DATA, "hinge", batch_size=8),
        'loss as "squared"',
    ),
    "advice on more than there is": (
        lambda _: nf.suggest_learning_rate(NET, DATA, batch_size=25),
        "at most 24",
    ),
}

TRACES: dict[str, Entry] = {
    "a boundary over nothing": (lambda _: nf.trace_boundary(NET, DATA, {}), "axes by name"),
    "a boundary over two axes": (
        lambda _: nf.trace_boundary(NET, DATA, {"gamma": [1.0], "width": [4]}, batch_size=8),
        "one axis beside learning_rate and seed",
    ),
    "a boundary over seeds": (
        lambda _: nf.trace_boundary(NET, DATA, {"seed": [0, 1]}, batch_size=8),
        "restarts= for seeds",
    ),
    "a boundary over an unknown axis": (
        lambda _: nf.trace_boundary(NET, DATA, {"widht": [4]}, batch_size=8),
        "did you mean 'width'?",
    ),
    "a boundary between no limits": (
        lambda _: nf.trace_boundary(NET, DATA, {"width": [4]}, batch_size=8, limits=(1.0, 0.1)),
        "low < high",
    ),
    "a boundary in a file that is no store": (
        lambda _: nf.trace_boundary(NET, DATA, {"width": [4]}, batch_size=8, store=__file__),
        "bad_inputs.py",
    ),
    "a boundary to no resolution": (
        lambda _: nf.trace_boundary(NET, DATA, {"width": [4]}, batch_size=8, resolution=0.0),
        "resolution",
    ),
}

DIAGNOSES: dict[str, Entry] = {
    "no budget": (lambda _: nf.diagnose(NET, DATA, budget=0), "a budget above 0 seconds"),
    "a batch beyond the data": (lambda _: nf.diagnose(NET, DATA, batch_size=25), "at most the 24 samples"),
    "a loss in other words": (lambda _: nf.diagnose(NET, DATA, loss="l2"), 'loss "squared", "cross_entropy"'),
    "data of another width": (lambda _: nf.diagnose(NET, (X[:, :2], Y)), "2"),
    "a network that ends in an image": (
        lambda _: nf.diagnose(nf.Network((1, 2, 2), [nf.Conv(3, kernel=1)]), DATA),
        "end it with Flatten() or GlobalAveragePool()",
    ),
}

OPTIMIZER = torch.optim.SGD(MODEL.parameters(), lr=0.1)
TOML = 'input_shape = [4]\n[[layers]]\ntype = "BatchNorm"\ngama = 2.0\n'

STORED: dict[str, Entry] = {
    "a key that no layer has": (lambda _: nf.Network.from_toml(TOML), "gama"),
    "text that is no TOML": (lambda _: nf.Network.from_toml("input_shape = ["), "TOML"),
    "text that is no JSON": (lambda _: nf.Network.from_json("{"), "JSON"),
    "a layer of no kind": (lambda _: nf.Network.from_json('{"input_shape": [4], "layers": [{}]}'), "type"),
    "a description that is not there": (lambda folder: nf.read_network(folder / "net.toml"), "net.toml"),
    "a description in another format": (lambda folder: nf.read_network(folder / "net.yaml"), ".toml"),
    "an activation that cannot be written down": (
        lambda _: nf.Network((4,), [nf.Dense(3), nf.Activation(abs)]).to_toml(),
        "a function is code, which a file does not hold",
    ),
}

READ_BACK: dict[str, Entry] = {
    "a number for a module": (lambda _: nf.describe(3), "a torch.nn.Module"),
    "a convolution without its image": (lambda _: nf.describe(CONVOLUTION), "inputs"),
    "inputs of another width": (lambda _: nf.describe(MODEL, (5,)), "5"),
    "attention": (lambda _: nf.describe(ATTENTION, (3, 4)), "MultiheadAttention"),
}

FURTHER_MEASUREMENT: dict[str, Entry] = {
    "an operator of no model": (lambda _: nf.curvature_operator(None, DATA), "a torch.nn.Module"),
    "a vector of another length": (lambda _: nf.curvature_operator(MODEL, DATA) @ torch.ones(3), "3"),
    "a trace to no accuracy": (lambda _: nf.curvature_trace(MODEL, DATA, tolerance=0.0), "tolerance"),
    "a density without probes": (lambda _: nf.spectral_density(MODEL, DATA, probes=0), "probes"),
    "a block of no parameter": (lambda _: nf.layer_curvature(MODEL, DATA, blocks={"a": ["no"]}), "no"),
    "groups that do not divide the batch": (
        lambda _: nf.curvature(MODEL, DATA, ghost_batch_size=7),
        "7",
    ),
    "a kernel of no samples": (lambda _: nf.empirical_ntk(MODEL, X[:0]), "sample"),
    "sizes beyond the data": (lambda _: nf.curvature_by_batch_size(MODEL, DATA, sizes=(25,)), "24"),
    "an optimizer's class": (
        lambda _: nf.preconditioned_curvature(MODEL, DATA, "squared", torch.optim.SGD),
        "SGD",
    ),
    "another model's optimizer": (
        lambda _: nf.preconditioned_curvature(NARROW, DATA, "squared", OPTIMIZER),
        "an optimizer over this model's trainable parameters",
    ),
}

STUDIES: dict[str, Entry] = {
    "a study of another name": (lambda _: nf.study("wei-fig-9"), "wei-fig-1"),
    "a study of another size": (lambda _: nf.run_study("wei-fig-1", size="large"), "smoke"),
    "a folder without a study": (lambda folder: nf.read_study(folder), "study"),
}

NORMED = nf.mlp(inputs=4, width=6, depth=2, outputs=3, batch_norm=True)
WITHOUT_EPSILON = nf.Network((4,), [nf.Dense(6), nf.BatchNorm(eps=0.0), nf.Activation("relu"), nf.Dense(3)])
CURVED = nf.Network((4,), [nf.Dense(6), nf.BatchNorm(), nf.Activation("tanh"), nf.Dense(3)])

KERNELS: dict[str, Entry] = {
    "a kernel of no network": (lambda _: nf.batch_kernel(MODEL, X), "describe it with nf.describe"),
    "a kernel by an unknown method": (lambda _: nf.batch_kernel(NORMED, X, method="exakt"), "auto, exact"),
    "a kernel of other inputs": (lambda _: nf.batch_kernel(NORMED, X[:, :3]), "(B, 4), got shape (24, 3)"),
    "a kernel of NaN": (lambda _: nf.batch_kernel(NORMED, X * float("nan")), "expected finite data"),
    "an exact kernel of tanh": (lambda _: nf.batch_kernel(CURVED, X, method="exact"), "got tanh at layer 2"),
    "a kernel beyond memory": (
        lambda _: nf.batch_kernel(NORMED, X, memory=100.0),
        "samples, or raise memory=",
    ),
    "a kernel of one sample repeated": (
        lambda _: nf.batch_kernel(WITHOUT_EPSILON, X[:1].repeat(5, 1)),
        "eps",
    ),
    "a kernel of no parameters": (lambda _: nf.batch_kernel(NORMED, X, parameters=()), "weight, bias, gamma"),
    "a kernel from one draw": (lambda _: nf.batch_kernel(NORMED, X, samples=31), "at least 32 samples"),
}

BATCH_NORM: dict[str, Entry] = {
    "batch norm of one sample": (lambda _: nf.batch_norm_forward(X[:1]), "at least 2 values per channel"),
    "batch norm of a vector": (lambda _: nf.batch_norm_forward(X[0]), "x as a tensor (m, C)"),
    "too many gammas": (lambda _: nf.batch_norm_forward(X, torch.ones(5)), "each of the 4 channels"),
    "a gradient of another shape": (
        lambda _: nf.batch_norm_backward(X[:3], nf.batch_norm_forward(X)),
        "the outputs' shape (24, 4)",
    ),
    "an unknown average": (
        lambda _: nf.population_statistics(MODEL, DATA, method="median"),
        "exact, simple, exponential",
    ),
    "an average that never moves": (
        lambda _: nf.population_statistics(MODEL, DATA, method="exponential", momentum=0.0),
        "momentum above 0",
    ),
    "nothing to recalibrate": (lambda _: nf.recalibrate_(NARROW, DATA), "a module with batch norm"),
    "recalibration on other features": (
        lambda _: nf.recalibrate_(MODEL, (X[:, :2], Y)),
        "inputs that the model takes",
    ),
    "drift of statistics that are not kept": (
        lambda _: nf.statistics_drift(nn.BatchNorm1d(4, track_running_stats=False), DATA),
        "track_running_stats=False",
    ),
    "drift under an unknown loss": (lambda _: nf.statistics_drift(MODEL, DATA, "hinge"), "a loss: 'squared'"),
    "a diagnosis of no learning rate": (
        lambda _: nf.diagnose(MODEL, DATA, learning_rate=0.0),
        "learning_rate above 0",
    ),
    "a diagnosis of negative weight decay": (
        lambda _: nf.diagnose(MODEL, DATA, weight_decay=-0.1),
        "weight_decay of at least 0",
    ),
    "noise where there is no batch norm": (
        lambda _: nf.with_noisy_batch_norm(NARROW),
        "a module with batch norm",
    ),
}

SIGNALS: dict[str, Entry] = {
    "signals of a loader": (lambda _: nf.signals(MODEL, iter([DATA])), "give one of its batches"),
    "signals of other features": (lambda _: nf.signals(MODEL, (X[:, :2], Y)), "inputs that the model takes"),
    "signals of one sample": (lambda _: nf.signals(MODEL, (X[:1], Y[:1])), "at least 2 samples"),
    "signals under a loss that is no number": (
        lambda _: nf.signals(MODEL, DATA, lambda outputs, _: outputs.sum() * float("nan")),
        "a finite loss, got nan",
    ),
    "signals under a vector of losses": (
        lambda _: nf.signals(MODEL, DATA, nn.CrossEntropyLoss(reduction="none")),
        'reduction="mean"',
    ),
    "signals of a forward that raises": (lambda _: nf.signals(RAISING, DATA), "KeyError"),
    "channels under unknown statistics": (
        lambda _: nf.channel_moments(MODEL, DATA, statistics="moving"),
        "batch, frozen, running",
    ),
    "output gradients of labels beyond the outputs": (
        lambda _: nf.output_gradients(MODEL, (X, Y + 1), "cross_entropy"),
        "labels from 0 to 2",
    ),
    "coherence of words": (lambda _: nf.gradient_coherence("mlp", DATA), "a torch.nn.Module in Python"),
    "first steps of no length": (
        lambda _: nf.first_steps(MODEL, DATA, learning_rate=0.1, steps=0),
        "steps as a whole number",
    ),
    "first steps backwards": (
        lambda _: nf.first_steps(MODEL, DATA, learning_rate=-0.1),
        "a learning_rate above 0",
    ),
    "a product of no matrices": (lambda _: nf.fuss_catalan(0), "factors as a whole number"),
}

SHIFT_AND_SCALE: dict[str, Entry] = {
    "inputs of no layer": (lambda _: nf.layer_inputs(MODEL, DATA, layers=["conv"]), "names of submodules"),
    "a shift between tensors": (
        lambda _: nf.distribution_shift(X, X),
        "what layer_inputs gives, got a Tensor",
    ),
    "a shift between two modules": (
        lambda _: nf.distribution_shift(nf.layer_inputs(MODEL, DATA), nf.layer_inputs(NARROW, DATA)),
        "two snapshots of the same layers",
    ),
    "percentiles beyond a hundred": (
        lambda _: nf.input_percentiles(MODEL, DATA, percentiles=(50, 150)),
        "percentiles from 0 to 100",
    ),
    "a gradient shift by no step": (
        lambda _: nf.gradient_shift(MODEL, DATA, learning_rate=0.0),
        "learning_rate as a finite number above 0",
    ),
    "a scale of one": (lambda _: nf.scale_invariance(MODEL, DATA, scale=1.0), "scale of at least 1.5"),
    "frozen statistics of a scaled weight": (
        lambda _: nf.scale_invariance(MODEL, DATA, statistics="frozen"),
        'use statistics="batch"',
    ),
    "directions of no module": (lambda _: nf.length_direction(NET), "a torch.nn.Module"),
    "a change between two modules": (
        lambda _: nf.length_direction(MODEL).change_from(nf.length_direction(NARROW)),
        "two splits of the same module",
    ),
}

LANDSCAPE_AND_NOISE: dict[str, Entry] = {
    "a walk at no rate": (lambda _: nf.landscape(MODEL, DATA, learning_rate=-0.1), "learning_rate above 0"),
    "a walk of one point": (lambda _: nf.landscape(MODEL, DATA, points=1), "points as a whole number"),
    "a walk backwards": (
        lambda _: nf.landscape(MODEL, DATA, steps=[-1.0]),
        "steps as finite numbers above 0",
    ),
    "a walk along another module's weights": (
        lambda _: nf.landscape(MODEL, DATA, direction={"head": X}),
        "names of trainable parameters",
    ),
    "theorems at no batch norm of that name": (
        lambda _: nf.gradient_inequality(MODEL, DATA, layers=["9"]),
        "names of batch norms, got '9'",
    ),
    "theorems for no unit": (lambda _: nf.gradient_inequality(MODEL, DATA, units=0), "units an integer"),
    "noise of a batch norm on one batch": (
        lambda _: nf.gradient_noise(MODEL, DATA),
        "at least 4 mini-batches",
    ),
    "noise of a sum": (
        lambda _: nf.gradient_noise(MODEL, DATA, nn.CrossEntropyLoss(reduction="sum")),
        "the mean over its samples",
    ),
    "noise of three samples": (lambda _: nf.gradient_noise(NARROW, (X[:3], Y[:3])), "at least 4 samples"),
}

WATCHING: dict[str, Entry] = {
    "nothing to watch": (lambda _: nf.Monitor(MODEL, every={}), "instruments and intervals in steps"),
    "an instrument of no name": (lambda _: nf.Monitor(MODEL, every={"sharpness": 5}), "instruments among"),
    "a schedule that never fires": (
        lambda _: nf.Monitor(MODEL, every={"signals": 0}),
        "with which it would never run",
    ),
    "a schedule beyond the run": (
        lambda _: nf.Monitor(MODEL, every={"signals": 50}, steps=50),
        "below the run's 50 steps",
    ),
    "an own instrument off schedule": (
        lambda _: nf.Monitor(MODEL, every={"signals": 5}, instruments={"norm": len}),
        "an interval in every for your instrument 'norm'",
    ),
    "a step without a batch": (
        lambda _: nf.Monitor(MODEL, every={"signals": 1}).step(),
        "a batch to measure on, got none",
    ),
    "a batch that does not fit the watched model": (
        lambda _: nf.Monitor(MODEL, every={"signals": 1}).step((X[:, :2], Y)),
        "inputs that the model takes",
    ),
    "the edge without a learning rate": (
        lambda _: nf.Monitor(MODEL, every={"edge": 1}).step(DATA),
        "a learning rate for the instrument 'edge'",
    ),
    "a loss in words": (
        lambda _: nf.Monitor(MODEL, every={"signals": 1}).step(DATA, loss_value="low"),
        "loss_value as one real number",
    ),
    "an instrument that changes the model and raises": (
        lambda _: nf.Monitor(MODEL, every={"own": 1}, instruments={"own": _meddling}).step(DATA),
        "instrument 'own' to run, got ZeroDivisionError",
    ),
    "a page of no record": (lambda folder: nf.training_page(MODEL, folder / "a.html"), "a MonitorRecord"),
    "a page nowhere": (
        lambda folder: nf.training_page(nf.Monitor(MODEL).record, folder / "no" / "a.html"),
        "an existing folder",
    ),
}


def _meddling(moment: nf.Moment) -> float:
    with torch.no_grad():
        for parameter in moment.model.parameters():
            parameter.zero_()
    moment.model.eval()
    torch.rand(3)
    return 1 / 0


LINEAR_MODELS: dict[str, Entry] = {
    "a singular hessian": (
        lambda _: nf.LeastSquares([[1.0, 1.0], [1.0, 1.0]], [1.0, 0.0]),
        "a positive definite hessian",
    ),
    "nothing to learn": (lambda _: nf.LeastSquares([[1.0]], [0.0]), "so that u = 0"),
    "a start that batch norm cannot leave": (
        lambda _: nf.descend(
            nf.LeastSquares([[1.0, 0.0], [0.0, 1.0]], [1.0, 0.0]), learning_rates=1.0, start=[0, 1]
        ),
        "a stationary point",
    ),
    "classes that a halfspace separates": (
        lambda _: nf.halfspace_problem([[1.0], [2.0], [-1.0]], [1, 1, 0]),
        "classes that no halfspace separates",
    ),
    "batch norm trained by lengths and directions": (
        lambda _: nf.train_decoupled(MODEL, DATA),
        "a model without batch norm",
    ),
    "no sweep over units": (lambda _: nf.train_decoupled(NARROW, DATA, steps=0), "steps as a whole number"),
    "a module for a linear model": (
        lambda _: nf.descend(MODEL, learning_rates=1.0),
        "a problem of a linear model",
    ),  # pyright: ignore[reportArgumentType]
}

REGISTRY: dict[str, Entry] = {
    **WATCHING,
    **LANDSCAPE_AND_NOISE,
    **LINEAR_MODELS,
    **SHIFT_AND_SCALE,
    **KERNELS,
    **BATCH_NORM,
    **DESCRIPTIONS,
    **THEORY,
    **MODULES,
    **MEASUREMENT,
    **DATASETS,
    **TRAINING,
    **TRACES,
    **DIAGNOSES,
    **STORED,
    **READ_BACK,
    **SIGNALS,
    **FURTHER_MEASUREMENT,
    **STUDIES,
}
