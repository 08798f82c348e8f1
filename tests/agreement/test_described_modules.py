"""Theory for what a user wrote: nf.mean_field(nf.describe(module)) against the module's measured Fisher matrix."""

import numpy as np
import pytest
import torch
from torch import nn

import normfield as nf

NETWORKS = 6
SAMPLES = 300


class Handwritten(nn.Module):
    """Two hidden layers with batch norm, written as users do; ``initialise`` changes what torch drew."""

    def __init__(self, initialise=None, spread=0.0, phi=torch.relu):
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(100, 300), nn.Linear(300, 300)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(300) for _ in self.hidden])
        self.head = nn.Linear(300, 5)
        self.phi = phi
        for norm in self.norms:
            nn.init.normal_(norm.weight, 0.5, spread)
        for layer in [*self.hidden, self.head]:
            if initialise is not None:
                initialise(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x):
        x = x.flatten(1)
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            x = self.phi(norm(layer(x)))
        return self.head(x)


def drawn(seed, **how):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Handwritten(**how)


def measured(seed, **how):
    """Mean of the C top Fisher eigenvalues of one network, on i.i.d. inputs of its own."""
    x = torch.randn(SAMPLES, 100, generator=torch.Generator().manual_seed(1000 + seed))
    return nf.curvature(drawn(seed, **how), (x, torch.zeros(SAMPLES, 5)), seed=seed).cluster_mean


@pytest.mark.parametrize(
    ("how", "variances", "tolerance"),
    [
        ({}, (1 / 3, 1 / 900), 0.02),
        ({"initialise": nn.init.kaiming_normal_}, (2.0, 0.0), 0.02),
        # λ_max is 4 here, where 300 units show more: 2.5 % measured.
        ({"initialise": nn.init.xavier_uniform_, "phi": nn.functional.gelu}, (1.0, 0.0), 0.04),
    ],
    ids=["torch's default", "Kaiming", "Xavier, GELU"],
)
def test_a_handwritten_module(how, variances, tolerance):
    """Agreement within 3 standard errors or the tolerance."""
    net = nf.describe(drawn(0, **how))
    hidden = net.layers[4]  # the second of Flatten → (Dense → BatchNorm → φ) × 2 → Dense
    assert net.variances(hidden) == pytest.approx(variances, rel=1e-12)
    theory = nf.mean_field(net, samples=SAMPLES)
    assert theory.is_top
    values = np.array([measured(seed, **how) for seed in range(NETWORKS)])
    error = values.std(ddof=1) / np.sqrt(NETWORKS)
    assert abs(theory.largest_eigenvalue - values.mean()) <= max(3 * error, tolerance * values.mean())


def test_gamma_of_many_sizes_is_its_root_mean_square():
    """ReLU: the departure says that the root mean square is exact; each network is measured against its own."""
    ratios, of_means = [], []
    for seed in range(NETWORKS):
        found = nf.examine(drawn(seed, spread=0.4))
        assert sum("exact for this activation" in words for words in found.departures) == 2
        value = measured(seed, spread=0.4)
        ratios.append(nf.mean_field(found.network, samples=SAMPLES).largest_eigenvalue / value)
        mean = float(np.mean([layer.gamma_mean for layer in found.layers if layer.gamma_mean is not None]))
        of_means.append(nf.mean_field(found.network, samples=SAMPLES, gamma=mean).largest_eigenvalue / value)
    error = np.std(ratios, ddof=1) / np.sqrt(NETWORKS)
    assert abs(np.mean(ratios) - 1) <= max(3 * error, 0.03)
    assert abs(np.mean(of_means) - 1) > 10 * error
