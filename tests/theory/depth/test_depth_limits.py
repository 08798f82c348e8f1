"""The door of depth: what it answers, in numbers, words, tables and figures, and what it refuses."""

import json
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import normfield as nf
from normfield.network import ACTIVATIONS
from normfield.theory import moments

ALL = [*ACTIVATIONS]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("gamma", "beta"), [(1.0, 0.0), (0.4, -0.6), (2.5, 1.1)])
def test_large_batches_approach_the_infinite_one(name, gamma, beta):
    limit = nf.depth_limits(name, math.inf, gamma, beta)
    for batch_size, distance in ((10**6, 1e-4), (10**9, 1e-7)):
        near = nf.depth_limits(name, batch_size, gamma, beta)
        for rate in ("explosion_rate", "norm_rate", "correlation_rate", "cross_batch_rate"):
            assert getattr(near, rate) == pytest.approx(getattr(limit, rate), rel=distance, abs=distance), (
                rate
            )
        assert near.fixed_point.spread == pytest.approx(limit.fixed_point.spread, rel=distance)


@pytest.mark.parametrize("name", ALL)
def test_infinite_batches_are_gaussian_expectations(name):
    gamma, beta = 0.8, 0.3
    m = moments(ACTIVATIONS[name], gamma, beta)
    found = nf.depth_limits(name, math.inf, gamma, beta)
    variance = float(m.second - m.mean**2)
    assert found.explosion_rate == pytest.approx(gamma**2 * float(m.slope_second) / variance, rel=1e-9)
    assert found.cross_batch_rate == pytest.approx((gamma * float(m.slope)) ** 2 / variance, rel=1e-9)
    assert found.correlation_rate == pytest.approx(found.cross_batch_rate, rel=1e-9)
    assert found.fixed_point.cross_batch == pytest.approx(float(m.mean) ** 2, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("batch_size", [4, 9, 30, 500, math.inf])
@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "elu"])
def test_the_sign_of_gamma_does_not_matter(name, batch_size):
    plus, minus = (nf.depth_limits(name, batch_size, g, 0.4) for g in (1.3, -1.3))
    assert plus.explosion_rate == pytest.approx(minus.explosion_rate, rel=1e-9)
    assert plus.norm_rate == pytest.approx(minus.norm_rate, rel=1e-9)


@pytest.mark.parametrize("name", ["tanh", "erf", "linear"])
def test_an_odd_activation_sees_only_the_size_of_beta(name):
    plus, minus = (nf.depth_limits(name, 12, 1.3, b) for b in (0.7, -0.7))
    assert plus.explosion_rate == pytest.approx(minus.explosion_rate, rel=1e-10)
    assert plus.fixed_point.second_moment == pytest.approx(minus.fixed_point.second_moment, rel=1e-12)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs", "linear"])
@pytest.mark.parametrize("batch_size", [4, 7, 64, math.inf])
def test_a_homogeneous_activation_sees_no_gamma_and_equals_its_own_quadrature(name, batch_size):
    row = ACTIVATIONS[name]
    closed, scaled = nf.depth_limits(name, batch_size), nf.depth_limits(name, batch_size, 7.0)
    anonymous = nf.ActivationFunction("anonymous", row.function, row.derivative)
    numeric = nf.depth_limits(anonymous, batch_size)
    for rate in ("explosion_rate", "norm_rate", "correlation_rate", "cross_batch_rate"):
        assert getattr(scaled, rate) == pytest.approx(getattr(closed, rate), rel=1e-12), rate
        assert getattr(numeric, rate) == pytest.approx(getattr(closed, rate), rel=1e-9), rate


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_vanishing_eps_changes_nothing(name):
    without, tiny = nf.depth_limits(name, 16), nf.depth_limits(name, 16, eps=1e-12)
    assert tiny.explosion_rate == pytest.approx(without.explosion_rate, rel=1e-9)
    assert tiny.norm_rate == pytest.approx(without.norm_rate, rel=1e-9)
    assert tiny.cross_batch_rate == pytest.approx(without.cross_batch_rate, rel=1e-9)
    assert tiny.scale_rate == pytest.approx(0, abs=1e-9)


def test_eps_damps_the_explosion_and_does_not_touch_residual_networks():
    eps = np.array([0.0, 0.01, 0.1, 0.3, 0.6])
    found = nf.depth_limits("relu", 16, eps=eps)
    assert (np.diff(found.explosion_rate) < 0).all()
    np.testing.assert_allclose(found.residual_exponent, found.explosion_rate[0], rtol=1e-12)


def test_only_the_ratio_of_eps_and_weight_variance_matters():
    one, four = (nf.depth_limits("tanh", 12, 1.2, 0.3, 0.05 * v, weight_variance=v) for v in (1, 4))
    assert one.explosion_rate == pytest.approx(four.explosion_rate, rel=1e-10)
    assert one.fixed_point.spread == pytest.approx(four.fixed_point.spread, rel=1e-10)
    assert four.transition.symmetric == pytest.approx(4 * one.transition.symmetric, rel=1e-12)


@pytest.mark.parametrize("name", ["tanh", "relu", "selu"])
@pytest.mark.parametrize("batch_size", [6, 40, math.inf])
def test_the_fixed_point_vanishes_at_the_transition(name, batch_size):
    critical = nf.depth_limits(name, batch_size).transition.symmetric
    below, above = (nf.depth_limits(name, batch_size, eps=critical * f) for f in (0.99, 1.01))
    assert below.regime == "normalised"
    assert 0 < below.fixed_point.spread < 0.1 * nf.depth_limits(name, batch_size).fixed_point.spread
    assert 0.9 < below.scale_rate < 1
    assert above.regime in {"collapsed", "outlier"}
    assert above.fixed_point.spread == 0
    assert above.scale_rate == pytest.approx(1 / 1.01, rel=1e-6)


def test_errors_cover_what_a_finer_rule_would_change():
    for settings_ in ({"beta": 0.3}, {"beta": 0.3, "eps": 0.05}, {"gamma": 3.0, "beta": -1.0}):
        for batch_size in (4, 6, 20, 300):
            found = nf.depth_limits("relu", batch_size, **settings_)
            assert 0 < found.errors["explosion_rate"] < 1e-3
            assert set(found.errors) >= {
                "explosion_rate",
                "norm_rate",
                "correlation_rate",
                "cross_batch_rate",
            }


def test_two_samples_are_answered_in_words():
    found = nf.depth_limits("relu", 2)
    assert math.isnan(found.explosion_rate)
    assert math.isnan(found.trainable_depth)
    assert "the gradient is exactly 0" in found.status
    assert "the gradient is exactly 0" in str(found)
    assert found.fixed_point.second_moment == pytest.approx(0.5)
    assert found.fixed_point.correlation == pytest.approx(0, abs=1e-12)


def test_three_samples_are_answered_in_words():
    found = nf.depth_limits("tanh", 3)
    assert found.explosion_rate == math.inf
    assert math.isnan(found.trainable_depth)
    assert "the expected squared gradient is infinite" in str(found)


@pytest.mark.parametrize("settings_", [{"gamma": 0.0}, {"beta": -40.0}, {"beta": -40.0, "batch_size": 5}])
def test_an_activation_that_does_not_vary_is_answered_in_words(settings_):
    found = nf.depth_limits("relu", **settings_)
    assert found.regime == "constant"
    assert math.isnan(found.explosion_rate)
    assert "the same for every sample" in str(found)


def test_the_verdict_says_how_fast_and_how_deep():
    assert "squared gradients grow 1.52-fold per layer backwards" in str(nf.depth_limits())
    assert "deeper than about 38 layers do not train" in str(nf.depth_limits())
    assert "depth sets no limit" in str(nf.depth_limits("linear", math.inf))
    assert "∞ samples per batch" in str(nf.depth_limits("linear", math.inf))
    assert "die out with depth" in str(nf.depth_limits("tanh", eps=3.0))
    assert "one outlying sample keeps its batch alive" in str(nf.depth_limits(eps=0.8))
    assert "1.000126-fold" in str(nf.depth_limits("tanh", math.inf, 0.1))


def test_a_fixed_point_that_networks_leave_is_called_unstable():
    found = nf.depth_limits("silu", 32)
    assert found.norm_rate > 1.01
    assert not found.is_stable
    assert "the fixed point is unstable" in str(found)
    assert nf.depth_limits("relu", math.inf).is_stable
    assert "unstable" not in str(nf.depth_limits("relu", 32))
    assert nf.depth_limits("silu", [4, 32]).is_stable.shape == (2,)


def test_growth_follows_the_rate():
    found = nf.depth_limits("relu", 32)
    assert found.gradient_growth(10) == pytest.approx(found.explosion_rate**10)
    assert found.gradient_growth(0) == 1
    assert found.gradient_growth(np.array([1, 2]))[1] == pytest.approx(found.explosion_rate**2)
    assert found.gradient_growth(10**6) == math.inf
    assert found.residual_gradient_growth(40) == pytest.approx(40**found.explosion_rate)
    assert found.residual_gradient_growth(40, 40) == 1
    assert found.gradient_growth(found.depth_scale) == pytest.approx(math.e)


def test_a_grid_is_one_call():
    sizes = np.array([[2], [4], [64], [math.inf]])
    gammas = np.array([0.5, 1.0])
    grid = nf.depth_limits("tanh", sizes, gammas)
    assert grid.explosion_rate.shape == (4, 2)
    assert grid.explosion_rate[2, 1] == nf.depth_limits("tanh", 64).explosion_rate
    assert "exactly 0" in grid.status[0, 0]
    assert not grid.status[1:].any()
    frame = grid.to_frame()
    assert len(frame) == 8
    assert list(frame["gamma"][:2]) == [0.5, 1.0]
    assert frame["explosion_rate"][5] == grid.explosion_rate[2, 1]
    assert len(json.loads(grid.to_json())["explosion_rate"]) == 4
    assert "grid of shape (4, 2)" in str(grid)
    assert "grid of shape (4, 2)" in grid._repr_html_()
    assert grid.gradient_growth(3)[2, 1] == pytest.approx(grid.explosion_rate[2, 1] ** 3)


def test_json_gives_a_reason_for_every_missing_number():
    found = json.loads(nf.depth_limits("relu", 3).to_json())
    assert found["explosion_rate"] is None
    assert "infinite" in found["explosion_rate_reason"]
    assert found["correlation_rate"] is None
    assert "too few" in found["correlation_rate_reason"]
    flat = json.loads(nf.depth_limits("linear", math.inf).to_json())
    assert flat["trainable_depth"] is None
    assert flat["trainable_depth_reason"] == "squared gradients do not grow"
    assert flat["batch_size"] is None
    assert flat["batch_size_reason"] == "infinite"
    assert json.loads(nf.depth_limits().to_json())["fixed_point"]["second_moment"] == pytest.approx(0.5)


def test_one_row_of_numbers():
    found = nf.depth_limits("gelu", 16, 0.7, 0.1, 1e-3)
    row = nf.depth_limits("gelu", 16, 0.7, 0.1, 1e-3).to_frame().iloc[0]
    assert row["explosion_rate"] == found.explosion_rate
    assert row["symmetric_transition"] == found.transition.symmetric
    assert row["spread"] == found.fixed_point.spread
    assert row["regime"] == "normalised"


def test_the_plot_draws_both_kinds_of_network():
    found = nf.depth_limits("relu", 32)
    figure = found.plot(60)
    drawn = {trace.name: np.array(trace.y, dtype=float) for trace in figure.data}
    plain = drawn["plain network"]
    np.testing.assert_allclose(plain[:-1] / plain[1:], found.explosion_rate)
    assert plain[-1] == 1
    residual = next(values for name, values in drawn.items() if "BN" in name)
    assert residual[0] == pytest.approx(found.residual_gradient_growth(60))
    assert figure.layout.yaxis.type == "log"
    assert "layers" in found._repr_html_()


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(
        nf.InvalidInput, match=r"one network to draw, got a grid of shape \(2,\); draw one point"
    ):
        nf.depth_limits(batch_size=[8, 16]).plot()
    with pytest.raises(nf.InvalidInput, match="a finite explosion rate to draw, got with 3 samples"):
        nf.depth_limits(batch_size=3).plot()
    with pytest.raises(nf.InvalidInput, match="a finite depth of at least 1, got 0"):
        nf.depth_limits().plot(0)


def test_a_layer_or_a_function_is_an_activation_too():
    layer = nf.depth_limits(nf.Activation("leaky_relu", slope=0.2), 16)
    assert 1 < layer.explosion_rate < nf.depth_limits("relu", 16).explosion_rate
    bare = nf.depth_limits(lambda x: np.tanh(x), 16)
    assert bare.explosion_rate == pytest.approx(nf.depth_limits("tanh", 16).explosion_rate, rel=1e-7)
    assert nf.depth_limits("swish", 8).activation == "silu"


REFUSED = [
    (("rely",), {}, "expected an activation among relu"),
    ((3,), {}, "an activation's name, an ActivationFunction or a callable, got 3"),
    ((lambda x: x[:2],), {}, "maps a NumPy array to one of its shape, got <lambda>, which raised ValueError"),
    ((np.log,), {}, "finite values and slopes, got log"),
    (
        ("relu", 1),
        {},
        "batch_size as a whole number of at least 2, or math.inf, got 1; batch norm needs 2 samples",
    ),
    (("relu", 2.5), {}, "batch_size as a whole number of at least 2, or math.inf, got 2.5"),
    (("relu", math.nan), {}, "got nan"),
    (("relu", "many"), {}, "batch_size as a number or an array, got 'many'"),
    (("relu", -math.inf), {}, "batch_size as a whole number of at least 2, or math.inf, got -inf"),
    (("relu", []), {}, "at least one value of batch_size, got none"),
    (("relu", 8, math.inf), {}, "a finite gamma, got inf"),
    (("relu", 8, 1.0, math.nan), {}, "a finite beta, got nan"),
    (("relu", 8), {"eps": -1e-5}, "a finite eps of at least 0, got -1e-05"),
    (("relu", 8), {"weight_variance": 0}, "a finite weight_variance above 0, got 0"),
    (("relu", [8, 16], [1, 2, 3]), {}, "axes that broadcast against one another"),
    (("relu", 8), {"gamma": None}, "a finite gamma, got nan"),
]


@pytest.mark.parametrize(("arguments", "keywords", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_bad_input_is_one_line(arguments, keywords, words):
    with pytest.raises(nf.InvalidInput) as caught:
        nf.depth_limits(*arguments, **keywords)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", [-1, math.nan, "deep", None])
def test_growth_refuses_what_is_no_depth(depth):
    with pytest.raises(nf.InvalidInput, match="depth"):
        nf.depth_limits().gradient_growth(depth)
    with pytest.raises(nf.InvalidInput, match="a finite layer of at least 1, got 0"):
        nf.depth_limits().residual_gradient_growth(10, 0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(ALL),
    batch_size=st.one_of(st.integers(2, 40), st.integers(2, 10**6), st.just(math.inf)),
    gamma=st.floats(-20, 20),
    beta=st.floats(-20, 20),
    eps=st.sampled_from([0.0, 0.0, 1e-5, 0.1, 5.0]),
)
def test_any_setting_has_an_answer(name, batch_size, gamma, beta, eps):
    found = nf.depth_limits(name, batch_size, gamma, beta, eps)
    assert str(found)
    json.loads(found.to_json())
    assert found.regime in {"normalised", "collapsed", "outlier", "constant"}
    if eps == 0 and batch_size > 3 and found.regime == "normalised":
        least = 1 if math.isinf(batch_size) else (batch_size - 2) / (batch_size - 3)
        assert found.explosion_rate >= least - 10 * found.errors["explosion_rate"]
        assert 0 <= found.cross_batch_rate <= 1 + 10 * found.errors["cross_batch_rate"]


@pytest.mark.parametrize("settings_", [{}, {"activation": "tanh"}, {"activation": "relu", "eps": 1e-5}])
@pytest.mark.parametrize("batch_size", [5, 32, 10**4])
def test_one_point_takes_milliseconds(settings_, batch_size):
    """5 ms of a free core; three times as much is allowed to a core that is not."""
    nf.depth_limits(batch_size=batch_size, **settings_)
    times = []
    for _ in range(7):
        start = time.process_time()
        nf.depth_limits(batch_size=batch_size, **settings_)
        times.append(time.process_time() - start)
    assert min(times) < 0.015
