"""Wei, Stokes and Schwab (2019): the values of Fig. 1 and their completion, to the digits given."""

import numpy as np
import pytest

import normfield as nf


def fully_connected(gamma, **more):
    return nf.mlp(784, 1000, 4, 10, gamma=gamma, eps=0.0, **more)


def shows(value, digits):
    """The value rounded to the digits of the printed reference."""
    return float(f"{value:.{digits}g}")


@pytest.mark.parametrize(
    ("gamma", "value", "digits"),
    [(0.1, 1.607, 4), (0.5, 47.53, 4), (1, 229.9, 4), (2, 1045, 4), (3, 2432, 4), (4, 4380, 4)],
)
def test_published_eigenvalue(gamma, value, digits):
    field = nf.mean_field(fully_connected(gamma), statistics="published")
    assert shows(field.largest_eigenvalue, digits) == value


@pytest.mark.parametrize(
    ("gamma", "frozen", "batch"),
    [(0.1, 7.75, 3.41), (0.5, 94.5, 41.6), (1, 366, 161), (3, 3260, 1430)],
)
def test_complete_theory_and_closed_form(gamma, frozen, batch):
    assert shows(nf.mean_field(fully_connected(gamma), "frozen").largest_eigenvalue, 3) == frozen
    assert shows(nf.mean_field(fully_connected(gamma), "batch").largest_eigenvalue, 3) == batch


def test_finite_sample_terms():
    frozen = nf.mean_field(fully_connected(1), "frozen", samples=1000)
    assert shows(frozen.largest_eigenvalue, 4) == 368.6
    batch = nf.mean_field(fully_connected(1), "batch", samples=1000)
    assert shows(1000 * batch.finite_sample, 3) == 468


def test_plain_network():
    plain = nf.mlp(784, 1000, 4, 10, batch_norm=False)
    assert shows(nf.mean_field(plain, "published").largest_eigenvalue, 5) == 2234.2


@pytest.mark.parametrize(
    ("activation", "gamma", "beta", "value", "digits"),
    [("gelu", 0.5, 0, 9.66, 3), ("gelu", 2, 0, 511, 3), ("tanh", 0.5, 1, 476.4, 4), ("tanh", 2, 0, 1.27, 3)],
)
def test_closed_form_of_other_activations(activation, gamma, beta, value, digits):
    net = fully_connected(gamma, activation=activation, beta=beta)
    assert shows(nf.mean_field(net).largest_eigenvalue, digits) == value


@pytest.mark.parametrize(
    ("shape", "gamma", "value", "digits"),
    [
        ((3, 32, 32), 0.1, 1.30, 3),
        ((3, 32, 32), 1, 162.3, 4),
        ((3, 32, 32), 3, 1613, 4),
        ((3, 32, 32), 4.1, 3039, 4),
        ((1, 28, 28), 1, 90.7, 3),
    ],
)
def test_convolutional_network(shape, gamma, value, digits):
    net = nf.convnet(shape, (30, 60, 90), 10, gamma=gamma, eps=0.0)
    assert shows(nf.mean_field(net, "published").largest_eigenvalue, digits) == value


@pytest.mark.parametrize(("shape", "value"), [((3, 32, 32), 1481.5), ((1, 28, 28), 904.4)])
def test_plain_convolutional_network(shape, value):
    net = nf.convnet(shape, (30, 60, 90), 10, batch_norm=False)
    digits = 5 if value > 1000 else 4
    assert shows(nf.mean_field(net, "published").largest_eigenvalue, digits) == value


def test_convolutional_closed_form_is_the_bound_given():
    net = nf.convnet((3, 32, 32), (30, 60, 90), 10, eps=0.0)
    field = nf.mean_field(net)
    assert shows(field.largest_eigenvalue, 4) == 130.7
    assert "lower bound" in field.assumption


def test_batch_norm_lies_below_the_plain_network_for_gamma_up_to_about_three():
    gamma = np.linspace(0.1, 5, 491)
    curve = nf.mean_field(fully_connected(1.0), "published", gamma=gamma).largest_eigenvalue
    plain = nf.mean_field(nf.mlp(784, 1000, 4, 10, batch_norm=False), "published").largest_eigenvalue
    crossing = gamma[np.argmax(curve > plain)]
    assert crossing == pytest.approx(2.9, abs=0.05)


def test_squared_gradients_grow_by_pi_over_pi_minus_one_where_the_published_ones_do_not():
    q_tilde = nf.mean_field(nf.mlp(784, 1000, 10, 10, eps=0.0), "batch").order_parameters.q_tilde
    growth = q_tilde[1:-2] / q_tilde[2:-1]
    np.testing.assert_allclose(growth, np.pi / (np.pi - 1), rtol=1e-12)
    published = nf.mean_field(nf.mlp(784, 1000, 10, 10), "published").order_parameters.q_tilde
    assert (published[1:-1] / published[2:] <= 1).all()
