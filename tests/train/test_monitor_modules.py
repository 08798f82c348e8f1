"""A monitor on the modules that people train: whatever they are made of, they train as without it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import normfield as nf

EVERY = {"signals": 2, "landscape": 3, "edge": 4, "shift": 3, "scale_invariance": 5, "statistics_drift": 3}
GENERATOR = torch.Generator().manual_seed(0)
FLAT = torch.randn(24, 6, generator=GENERATOR)
IMAGES = torch.randn(24, 2, 6, 6, generator=GENERATOR)
WORDS = torch.randn(24, 5, 8, generator=GENERATOR)
LABELS = torch.arange(24) % 3


class Skips(nn.Module):
    """Residual blocks that share one layer."""

    def __init__(self):
        super().__init__()
        self.first, self.shared, self.norms = nn.Linear(6, 8), nn.Linear(8, 8), nn.ModuleList()
        self.norms.extend(nn.BatchNorm1d(8) for _ in range(3))
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        x = self.first(x)
        for norm in self.norms:
            x = x + torch.relu(norm(self.shared(x)))
        return self.last(x)


class Keywords(nn.Module):
    """Takes its inputs by name."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, features, weights):
        return self.b(torch.relu(self.norm(self.a(features * weights))))


def partly_frozen():
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    model[0].requires_grad_(False)
    return model


def encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    return nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Flatten(), nn.Linear(40, 3))


def convolutions():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


MODULES = {
    "skips and a shared layer": (Skips, FLAT),
    "inputs by name": (Keywords, {"features": FLAT, "weights": FLAT.abs()}),
    "frozen parts": (partly_frozen, FLAT),
    "a transformer encoder": (encoder, WORDS),
    "convolutions": (convolutions, IMAGES),
}


def called(model, inputs):
    return model(**inputs) if isinstance(inputs, dict) else model(inputs)


def trained(make, inputs, monitored, wrap=lambda model: model, autocast=False):
    torch.manual_seed(2)
    model = make()
    wrapped = wrap(model)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05, momentum=0.9)
    monitor = None
    if monitored:
        monitor = nf.Monitor(
            wrapped, "cross_entropy", optimizer=optimizer, batch=(inputs, LABELS), every=EVERY, overhead=None
        )
    for _ in range(6):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = nn.functional.cross_entropy(called(wrapped, inputs), LABELS)
        loss.backward()
        optimizer.step()
        if monitor is not None:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                monitor.step((inputs, LABELS), loss_value=loss)
    return model, monitor


def check(make, inputs, **how):
    on, monitor = trained(make, inputs, True, **how)
    off, _ = trained(make, inputs, False, **how)
    for one, other in zip(on.state_dict().values(), off.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    for each in monitor.record.instruments:
        assert each.runs > 1, each
        assert not each.failures, each.last_failure


@pytest.mark.parametrize("name", MODULES)
def test_it_is_measured_and_trains_alike(name):
    check(*MODULES[name])


def test_mixed_precision_is_measured_in_full_precision_and_trains_alike():
    check(convolutions, IMAGES, autocast=True)


def test_a_module_under_data_parallelism_is_measured_and_trains_alike(tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("torch was built without distributed training")
    store = f"file://{tmp_path / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        check(convolutions, IMAGES, wrap=nn.parallel.DistributedDataParallel)
    finally:
        torch.distributed.destroy_process_group()
