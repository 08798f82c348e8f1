"""Snapshots of layers' inputs against layers called by hand, and their distances against scipy, sums and integrals."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.integrate import quad
from scipy.stats import norm, wasserstein_distance
from torch import nn

import normfield as nf
from normfield.measure.shift.snapshot_result import LayerInput, LayerInputs


def data(samples=24, shape=(6,), seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, *shape, generator=generator, dtype=torch.float64)
    return x, torch.randn(samples, 3, generator=generator, dtype=torch.float64)


def net(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout(0.0), nn.Linear(8, 3)
    )
    return model.double()


def snapshot(values, digest, name="l"):
    """What `layer_inputs` would give of values (samples, positions, units)."""
    units, positions = values.shape[2], values.shape[1]
    mean, deviation = values.mean((0, 1)), values.std((0, 1))
    layer = LayerInput(
        name, "Linear", units, positions, values, np.arange(units), np.arange(positions), mean, deviation
    )
    return LayerInputs((layer,), len(values), digest, "batch", 0)


def shift_of(before, after, bins=16, same=False):
    """The shift between arrays (samples,) or (samples, positions, units)."""
    x, y = (v[:, None, None] if v.ndim == 1 else v for v in (before, after))
    found = nf.distribution_shift(snapshot(x, "a"), snapshot(y, "a" if same else "b"), bins=bins)
    assert found.same_samples is same
    return found.layers[0]


def test_snapshots_are_what_layers_called_by_hand_are_given():
    model, (x, y) = net(), data()
    kept = nf.layer_inputs(model, (x, y))
    z = (x @ model[0].weight.T + model[0].bias).detach()
    u = (z - z.mean(0)) / (z.var(0, correction=0) + model[1].eps).sqrt()
    expected = {"0": x, "1": z, "2": u, "4": u.clamp(min=0)}
    assert [layer.name for layer in kept.layers] == list(expected)  # dropout only passes values on
    for name, value in expected.items():
        np.testing.assert_allclose(kept[name].values[:, 0], value.numpy(), rtol=2e-6, atol=1e-6)
        np.testing.assert_allclose(kept[name].mean, value.mean(0).numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(kept[name].standard_deviation, value.std(0, correction=0), rtol=1e-9)
    assert (kept.samples, kept.statistics) == (24, "batch")


def test_channels_are_units_and_a_part_is_kept_alike_every_time():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 9, 3), nn.ReLU(), nn.Flatten(), nn.Linear(9 * 36, 3)).double()
    x, y = data(shape=(2, 8, 8))
    first, second = (nf.layer_inputs(model, (x, y), units=5, positions=4, seed=3) for _ in range(2))
    z = F.conv2d(x, model[0].weight, model[0].bias).detach().flatten(2)
    kept = first["1"]
    assert (kept.units, kept.positions, kept.values.shape) == (9, 36, (24, 4, 5))
    by_hand = z[:, torch.as_tensor(kept.kept_units)][:, :, torch.as_tensor(kept.kept_positions)].transpose(
        1, 2
    )
    np.testing.assert_allclose(kept.values, by_hand.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(kept.mean, z.mean((0, 2)).numpy(), rtol=1e-9)
    assert np.array_equal(kept.kept_units, second["1"].kept_units)
    other = nf.layer_inputs(model, (x, y), units=5, positions=4, seed=4)["1"]
    assert not np.array_equal(kept.kept_positions, other.kept_positions)
    assert nf.layer_inputs(model, (x, y))["3"].units == 9 * 36  # the last dimension of a linear layer's input


class Tokens(nn.Module):
    """An embedding, one layer used twice, inputs by name and a structured output."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.inner = nn.Linear(4, 4)

    def forward(self, tokens, shift):
        hidden = self.inner(self.embedding(tokens) + shift)
        return {"hidden": self.inner(hidden.tanh())}


def test_calls_are_numbered_and_whole_numbers_passed_over():
    torch.manual_seed(0)
    batch = ({"tokens": torch.arange(15).reshape(5, 3) % 5, "shift": torch.ones(5, 3, 4)}, torch.zeros(5))
    model = Tokens()
    kept = nf.layer_inputs(model, batch)
    assert [layer.name for layer in kept.layers] == ["inner, call 1", "inner, call 2"]
    assert kept.layers[0].values.shape == (5, 3, 4)
    hidden = model.inner(model.embedding(batch[0]["tokens"]) + 1).tanh().detach()
    np.testing.assert_allclose(kept.layers[1].values, hidden.numpy(), rtol=1e-5, atol=1e-6)


def test_the_same_samples_are_recognised_by_their_values():
    model, (x, y) = net(), data()
    one, again, other = (nf.layer_inputs(model, (v, y)) for v in (x, x.clone(), x + 1e-9))
    assert one.samples_digest == again.samples_digest != other.samples_digest


@pytest.mark.parametrize("same", [False, True])
def test_the_histogram_divergence_and_its_bias_against_leaving_out_by_hand(same):
    """The whole computation anew for every group left out, with numpy's own histogram."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(30), 0.5 + 1.3 * rng.standard_normal(30)
    both = np.concatenate([x, y])
    inner = norm.ppf(np.arange(1, 6) / 6, both.mean(), both.std())
    edges = np.concatenate([[-1e9], inner, [1e9]])

    def divergence(a, b):
        q, p = (np.histogram(v, edges)[0] + 0.5 for v in (a, b))
        return sum(p / p.sum() * np.log((p / p.sum()) / (q / q.sum())))

    without = [np.delete(np.arange(30), i) for i in range(30)]
    if same:
        blocks = [[divergence(x[i], y[i]) for i in without]]
    else:
        blocks = [[divergence(x[i], y) for i in without], [divergence(x, y[i]) for i in without]]
    whole = divergence(x, y)
    bias = sum(29 * (np.mean(block) - whole) for block in blocks)
    error = math.sqrt(sum(29 * np.var(block) for block in blocks))
    found = shift_of(x, y, bins=6, same=same)
    assert found.kl_bias == pytest.approx(bias, rel=1e-9)
    assert found.kl == pytest.approx(whole - bias, rel=1e-9)
    assert found.kl_error == pytest.approx(error, rel=1e-9)


def test_the_gaussian_divergence_is_the_integral():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal(4000), 0.4 + 0.8 * rng.standard_normal(4000)
    p, q = norm(y.mean(), y.std()), norm(x.mean(), x.std())
    integral, _ = quad(lambda t: p.pdf(t) * (p.logpdf(t) - q.logpdf(t)), -8, 8)
    found = shift_of(x, y)
    assert found.gaussian_kl == pytest.approx(
        integral, abs=5 / 4000
    )  # the bias taken off is of order 1/samples
    assert found.mean_drift == pytest.approx(abs(y.mean() - x.mean()) / x.std(), rel=1e-9)
    assert found.deviation_drift == pytest.approx(abs(math.log(y.std() / x.std())), rel=1e-9)


@pytest.mark.parametrize("sizes", [(50, 50), (50, 83)])
def test_wasserstein_is_scipys(sizes):
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((sizes[0], 2, 3)), 0.3 + rng.exponential(size=(sizes[1], 2, 3))
    each = [wasserstein_distance(x[..., j].ravel(), y[..., j].ravel()) / x[..., j].std() for j in range(3)]
    assert shift_of(x, y).wasserstein == pytest.approx(np.mean(each), rel=1e-9)


def true_divergence(mean, deviation, bins):
    """Of N(mean, deviation²) from N(0, 1), both in bins of equal probability under their common fit."""
    centre, spread = mean / 2, math.sqrt((1 + deviation**2) / 2 + mean**2 / 4)
    edges = np.concatenate([[-np.inf], norm.ppf(np.arange(1, bins) / bins, centre, spread), [np.inf]])
    p, q = np.diff(norm.cdf(edges, mean, deviation)), np.diff(norm.cdf(edges))
    return float((p * np.log(p / q)).sum())


def test_bias_and_coverage_over_two_hundred_repeats():
    """Different samples of known Gaussians; the mean within 3 standard errors, two errors cover 90 to 99.5 %."""
    rng, mean, deviation = np.random.default_rng(3), 0.4, 1.3
    found = [
        shift_of(rng.standard_normal(400), mean + deviation * rng.standard_normal(400), bins=8)
        for _ in range(200)
    ]
    truths = {
        "kl": true_divergence(mean, deviation, 8),
        "gaussian_kl": 0.5 * (deviation**2 + mean**2 - 1 - 2 * math.log(deviation)),
        "mean_drift": mean,
        "deviation_drift": math.log(deviation),
    }
    for key, truth in truths.items():
        values = np.array([getattr(one, key) for one in found])
        errors = np.array([getattr(one, f"{key}_error") for one in found])
        assert abs(values.mean() - truth) < 3 * values.std() / math.sqrt(200), key
        assert 0.9 <= np.mean(np.abs(values - truth) < 2 * errors) <= 0.995, key
    spread = deviation - 1  # matched by quantiles, the two differ by N(mean, spread²)
    truth = spread * math.sqrt(2 / math.pi) * math.exp(-((mean / spread) ** 2) / 2) + mean * (
        1 - 2 * norm.cdf(-mean / spread)
    )
    values, errors = (np.array([getattr(one, f"wasserstein{e}") for one in found]) for e in ("", "_error"))
    assert (
        0 < values.mean() - truth < 0.4 * values.std()
    )  # an absolute value is too large by less than its error
    assert 0.9 <= np.mean(np.abs(values - truth) < 2 * errors) <= 0.995


def test_without_a_shift_the_bias_is_taken_off():
    """Two samples of one distribution: the uncorrected divergence is (K − 1)/2·(1/n + 1/m) to first order."""
    rng = np.random.default_rng(4)
    found = [shift_of(rng.standard_normal(300), rng.standard_normal(300), bins=8) for _ in range(200)]
    values = np.array([one.kl for one in found])
    uncorrected = values + np.array([one.kl_bias for one in found])
    assert uncorrected.mean() == pytest.approx(7 / 300, rel=0.1)
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(200) + 0.05 * uncorrected.mean()


def test_errors_hold_where_units_and_positions_go_together():
    """Eight units and four positions that are nearly copies of one value for each sample; 200 repeats."""
    rng = np.random.default_rng(5)

    def sample(mean):
        own = mean + rng.standard_normal((120, 1, 1))
        return own + 0.1 * rng.standard_normal((120, 4, 8))

    found = [shift_of(sample(0.0), sample(0.5)) for _ in range(200)]
    values = np.array([one.mean_drift for one in found])
    errors = np.array([one.mean_drift_error for one in found])
    assert np.mean(errors) == pytest.approx(values.std(), rel=0.2)


def test_nothing_moved_is_exactly_nothing_on_the_same_samples():
    kept = nf.layer_inputs(net(), data())
    for layer in nf.distribution_shift(kept, kept).layers:
        numbers = {key: value for key, value in vars(layer).items() if key not in ("name", "units")}
        assert numbers == pytest.approx(dict.fromkeys(numbers, 0), abs=1e-14)
        assert layer.units > 0


def test_constant_units_are_counted_and_left_out():
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((50, 1, 3)), rng.standard_normal((50, 1, 3))
    y[..., 1] = 0
    found = shift_of(x, y)
    assert (found.units, found.constant_units) == (2, 1)
    kept = shift_of(x[..., [0, 2]], y[..., [0, 2]])
    assert found.kl == pytest.approx(kept.kl)
    nothing = nf.distribution_shift(snapshot(x * 0, "a"), snapshot(y, "b"))
    assert nothing.layers[0].units == 0
    assert math.isnan(nothing.layers[0].kl)
    assert "all 3 units are constant" in str(nothing)
    stored = json.loads(nothing.to_json())
    assert stored["layers"][0]["kl"] is None
    assert "constant" in stored["reason"]


def test_a_constant_is_constant_whatever_its_value():
    """The mean of equal numbers may differ from them by round-off."""
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((51, 3, 2)), rng.standard_normal((51, 3, 2))
    x[..., 1] = np.float32(0.1)
    assert shift_of(x, y).constant_units == 1


def test_what_does_not_come_sample_by_sample_has_no_distance():
    class Prompted(nn.Module):
        """A token of its own, given to a layer once for the whole batch."""

        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.ones(1, 4))
            self.prompt, self.body = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.body(x + self.prompt(self.token))

    model, (x, y) = Prompted().double(), data()
    kept = nf.layer_inputs(model, (x, y))
    found = nf.distribution_shift(kept, nf.layer_inputs(model, (x + 1, y)))
    assert (found["prompt"].units, found["prompt"].constant_units) == (0, 4)
    assert found["body"].mean_drift > 0.5


def test_parametrised_layers_are_layers():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)), nn.Linear(4, 3)).double()
    assert [layer.name for layer in nf.layer_inputs(model, data()).layers] == ["0", "1"]


def test_a_moved_weight_moves_the_inputs_above_it_only():
    model, batch = net(), data(200)
    before = nf.layer_inputs(model, batch)
    with torch.no_grad():
        model[0].weight.mul_(1.5)
    found = nf.distribution_shift(before, nf.layer_inputs(model, batch))
    assert found["0"].kl == 0
    assert found["1"].deviation_drift == pytest.approx(math.log(1.5), rel=1e-4)
    assert found["2"].deviation_drift < 1e-4  # batch norm takes the factor off again
    assert found["1"].kl > 3 * found["1"].kl_error > 0


def test_tables_json_and_figures():
    model, batch = net(), data(50)
    before = nf.layer_inputs(model, batch)
    with torch.no_grad():
        model[0].weight.add_(0.3)
    found = nf.distribution_shift(before, nf.layer_inputs(model, batch))
    assert list(found.to_frame()["layer"]) == ["0", "1", "2", "4"] == list(before.to_frame()["layer"])
    stored = json.loads(found.to_json())
    assert [row["kl"] for row in stored["layers"]] == [layer.kl for layer in found.layers]
    assert (stored["bins"], stored["same_samples"]) == (16, True)
    assert list(found.plot().data[0].y) == [layer.kl for layer in found.layers]
    kept = json.loads(before.to_json())
    assert kept["layers"][0]["mean"] == pytest.approx(float(batch[0].mean()))
    assert len(before.plot().data) == 2
    assert "the same samples" in str(found)
    assert "4 layers" in str(before)


def test_percentiles_are_those_of_sorted_values():
    model, (x, y) = net(), data(41)
    found = nf.input_percentiles(model, (x, y), percentiles=(0, 25, 50, 100), layers=("1",))
    z = (x @ model[0].weight.T + model[0].bias).detach().numpy()
    ordered = np.sort(z, axis=0)
    np.testing.assert_allclose(found["1"].by_unit, ordered[[0, 10, 20, 40]].T, rtol=1e-5, atol=1e-6)
    everything = np.sort(z.ravel())
    assert found["1"].values[[0, -1]] == pytest.approx(everything[[0, -1]], rel=1e-5)
    assert found["1"].values[2] == pytest.approx((everything[163] + everything[164]) / 2, rel=1e-5)
    assert list(found.to_frame().columns) == [
        "layer",
        "kind",
        "p0",
        "p25",
        "p50",
        "p100",
        "samples",
        "statistics",
    ]
    assert json.loads(found.to_json())["layers"][0]["values"] == found["1"].values.tolist()
    assert len(found.plot().data) == 4
    assert "percentiles 0, 25, 50, 100" in str(found)


MISTAKES = {
    "a name for all names": (lambda m, b: nf.layer_inputs(m, b, layers="1"), "sequence of names"),
    "no such layer": (
        lambda m, b: nf.layer_inputs(m, b, layers=["9"]),
        "got '9'; this module's begin with '0'",
    ),
    "no units": (lambda m, b: nf.layer_inputs(m, b, units=0), "units an integer of at least 1"),
    "one sample": (lambda m, b: nf.layer_inputs(m, (b[0][:1], b[1][:1])), "at least 2 samples"),
    "a tensor for a snapshot": (
        lambda m, b: nf.distribution_shift(b[0], nf.layer_inputs(m, b)),
        "before as what layer_inputs gives, got a Tensor",
    ),
    "one bin": (
        lambda m, b: nf.distribution_shift(*[nf.layer_inputs(m, b)] * 2, bins=1),
        "at least 2, got 1",
    ),
    "other layers": (
        lambda m, b: nf.distribution_shift(nf.layer_inputs(m, b), nf.layer_inputs(m, b, layers=["0"])),
        "got '1' in one of them only",
    ),
    "other units": (
        lambda m, b: nf.distribution_shift(nf.layer_inputs(m, b), nf.layer_inputs(m, b, units=3)),
        "got others at '0'",
    ),
    "other statistics": (
        lambda m, b: nf.distribution_shift(
            nf.layer_inputs(m, b), nf.layer_inputs(m, b, statistics="running")
        ),
        'got "batch" and "running"',
    ),
    "one sample each": (
        lambda m, b: nf.distribution_shift(
            *[nf.layer_inputs(m, (b[0][:1], b[1][:1]), statistics="running")] * 2
        ),
        "at least 2 samples, got one of 1",
    ),
    "a percentile of 101": (lambda m, b: nf.input_percentiles(m, b, percentiles=(50, 101)), "from 0 to 100"),
    "a layer that is not called": (
        lambda m, b: nf.layer_inputs(nn.ModuleDict({"a": m, "b": nn.Linear(1, 1)}), b),
        "forward raised",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line(name):
    call, words = MISTAKES[name]
    with pytest.raises(nf.InvalidInput) as caught:
        call(net(), data())
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
