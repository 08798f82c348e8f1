"""Standardisation, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from normfield.data import DataSet, load
from normfield.errors import InvalidInput

RANDOM = np.random.default_rng(0)
X = (1000 + 3 * RANDOM.standard_normal((700, 2, 5)) * np.arange(1, 6)).astype(np.float32)
Y = RANDOM.integers(0, 4, 700)


def with_test() -> DataSet:
    return DataSet(
        "two parts",
        torch.tensor(X[:500]),
        torch.tensor(Y[:500]),
        4,
        torch.tensor(X[500:]),
        torch.tensor(Y[500:]),
    )


def test_global_uses_one_mean_and_one_deviation_of_the_training_part():
    data = load(with_test(), standardise="global")
    assert data.test_inputs is not None
    wide = X.astype(np.float64)
    mean, deviation = wide[:500].mean(), wide[:500].std()
    np.testing.assert_allclose(data.inputs, (wide[:500] - mean) / deviation, atol=1e-6)
    np.testing.assert_allclose(data.test_inputs.numpy(), (wide[500:] - mean) / deviation, atol=1e-6)
    assert data.standardise == "global"


def test_global_makes_the_mean_square_norm_the_number_of_entries():
    data = load((X, Y), standardise="global")
    assert data.inputs.double().flatten(1).square().sum(1).mean().item() == pytest.approx(10, rel=1e-6)


def test_pixel_uses_a_pair_for_each_entry():
    data = load(with_test(), standardise="pixel")
    assert data.test_inputs is not None
    wide = X.astype(np.float64)
    expected = (wide - wide[:500].mean(axis=0)) / wide[:500].std(axis=0)
    np.testing.assert_allclose(data.inputs, expected[:500], atol=1e-6)
    np.testing.assert_allclose(data.test_inputs.numpy(), expected[500:], atol=1e-6)


def test_constant_pixel_becomes_zero_in_both_parts():
    inputs, test = torch.tensor(X[:9]), torch.tensor(X[9:11])
    inputs[:, 1, 2] = 0.1
    data = DataSet("dull pixel", inputs, torch.tensor(Y[:9]), 4, test, torch.tensor(Y[9:11]))
    data = load(data, standardise="pixel")
    assert data.test_inputs is not None
    assert (data.inputs[:, 1, 2] == 0).all()
    assert (data.test_inputs[:, 1, 2] == 0).all()
    assert (data.inputs[:, 0, 0] != 0).all()


def test_numbers_come_from_the_samples_used():
    few = load((X, Y), samples=20, standardise="global")
    assert few.samples_total == 700
    assert few.inputs.mean().item() == pytest.approx(0, abs=1e-5)
    later = load((X, Y), standardise="global").subset(20)
    assert abs(later.inputs.mean().item()) > 1e-3


def test_given_data_stay_as_they_are_unless_asked():
    data = load((torch.tensor(X), Y))
    assert data.standardise == "none"
    np.testing.assert_array_equal(data.inputs, X)


def test_the_source_is_not_written_to():
    source = torch.tensor(X)
    load((source, Y), standardise="pixel")
    np.testing.assert_array_equal(source, X)


def test_a_data_set_is_not_standardised_twice():
    data = load((X, Y), standardise="global")
    assert load(data, standardise="global") is data
    with pytest.raises(
        InvalidInput, match=r'expected data that are not standardised yet, got .*"global"; load them'
    ):
        load(data, standardise="pixel")


@pytest.mark.parametrize("how", ["global", "pixel"])
def test_inputs_without_variation_are_refused(how):
    with pytest.raises(
        InvalidInput, match=r"expected inputs that vary, to standardise them, got 3 samples without"
    ):
        load((np.full((3, 2), 7.0), [0, 1, 1] @ np.eye(3, dtype=int)), standardise=how)
