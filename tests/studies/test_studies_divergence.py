"""Diverging updates: what a row holds against the network written out, tables made by hand, verdicts."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from normfield.studies import bjorck_divergence as b
from normfield.studies.architectures import residual_network
from normfield.studies.divergence import table as t
from normfield.studies.divergence.checks import diverging_lengths
from normfield.studies.divergence.measuring import chosen_blocks
from normfield.studies.halted_training import endless_batches
from normfield.studies.image_training.images import Images

TINY = b.Settings(
    Images("digits", 32, 8, side=8), 2, 1, 1, batches=2, looked_at=2, shown=3, runs=1, batch_size=8
)


def values(network, settings=TINY):
    points = [point for point in b.STUDY.points(settings, 0) if point["network"] == network]
    rows = b.STUDY.measure(settings, points)
    return {
        (point["kind"], point["place"], point["at"]): row[t.VALUE]
        for point, row in zip(points, rows, strict=True)
    }


@pytest.fixture(scope="module", params=[t.NORMED, t.PLAIN])
def network(request):
    return request.param


@pytest.fixture(scope="module")
def found(network):
    return values(network)


@pytest.fixture
def start(network):
    """The network and the first batch."""
    data = TINY.images.read()
    model = residual_network(2, 1, 10, 0, batch_norm=network == t.NORMED, colours=1)
    return model, next(endless_batches(data, 8, 0))


def step(model, batch, length):
    """A copy after one gradient step, and the loss before it."""
    moved = copy.deepcopy(model)
    loss = F.cross_entropy(moved(batch[0]), batch[1])
    for parameter, gradient in zip(
        moved.parameters(), torch.autograd.grad(loss, list(moved.parameters())), strict=True
    ):
        parameter.data -= length * gradient
    return moved, loss.item()


def test_relative_losses_are_those_after_one_step(found, start):
    model, batch = start
    for length in (1e-3, 0.1):
        moved, before = step(model, batch, length)
        after = F.cross_entropy(moved(batch[0]), batch[1]).item()
        assert found[t.LOSS, 1, length] == pytest.approx(after / before, rel=1e-4)


def last_convolution(model, block, batch):
    """What the second convolution of a block gives."""
    given = []
    handle = model[block].conv2.register_forward_hook(lambda _, __, out: given.append(out.detach().double()))
    model(batch[0])
    handle.remove()
    return given[0]


def test_channel_moments_are_of_the_last_convolutions_along_the_update(found, start, network):
    model, batch = start
    length = next((each for each in TINY.lengths if found[t.LOSS, 1, each] >= t.DIVERGED), TINY.lengths[-1])
    for percent in (0.0, 20.0):
        moved, _ = step(model, batch, percent / 100 * length)
        outputs = {place: last_convolution(moved, block, batch) for place, block in ((1, 3), (3, 5))}
        for place, out in outputs.items():
            variance = out.var((0, 2, 3), correction=0).mean().item()
            mean = out.mean((0, 2, 3)).abs().mean().item()
            assert found[t.VARIANCE, place, percent] == pytest.approx(variance, rel=1e-3)
            assert found[t.MEAN, place, percent] == pytest.approx(mean, rel=1e-3)


def test_output_gradients_are_probabilities_minus_labels(found, start):
    model, batch = start
    with torch.no_grad():
        wanted = model(batch[0]).softmax(1) - F.one_hot(batch[1], 10)
    for image in range(3):
        for label in range(10):
            assert found[t.OUTPUT, image + 1, float(label)] == pytest.approx(
                wanted[image, label].item(), abs=1e-5
            )


def test_a_kernel_s_gradients_are_split_over_images_and_positions(found, start):
    """The terms of one weight, by hand: what the kernel saw at a position times the gradient there."""
    model, batch = start
    block = model[3]
    seen = {}
    block.conv2.register_forward_hook(lambda _, given, out: seen.update(given=given[0], out=out))
    loss = F.cross_entropy(model(batch[0]), batch[1])
    (gradient,) = torch.autograd.grad(loss, seen["out"])
    patches = F.unfold(seen["given"], 3, padding=1)  # (images, inputs, positions)
    terms = torch.einsum("bip,bop->oibp", patches, gradient.flatten(2)).detach()
    share = terms.sum((2, 3)).abs().sum() / terms.abs().sum()
    assert found[t.AGREEMENT, 1, 0.0] == pytest.approx(share.item(), rel=1e-4)


def test_all_that_is_asked_is_measured_and_repeats(found, network):
    assert set(found) == set(b._where(TINY))
    before = torch.random.get_rng_state()
    assert values(network) == found
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("blocks", "most", "expected"), [(54, 4, [1, 19, 36, 54]), (3, 9, [1, 2, 3]), (9, 2, [1, 9])]
)
def test_blocks_are_evenly_spread(blocks, most, expected):
    assert chosen_blocks(blocks, most) == expected


def test_lengths_reach_from_1e_5_to_10():
    assert TINY.lengths == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10])
    assert len(b.STUDY.settings("small").lengths) == 13


BLOCKS, LENGTHS = (1, 9), (1e-3, 1e-2, 0.1)


def table(
    losses=((1, 2, 5), (1, 5e3, 1e9)),
    variances=((1, 2, 3), (1, 100, 1e6)),
    agree=(0.1, 0.4),
    alike=(0.0, 0.9),
):
    """(with, without) batch norm: relative losses by length; variances of the first block, the last, the last after."""
    rows = []
    for k, network in enumerate(t.NETWORKS):
        for seed in (0, 1):
            first, last, after = variances[k]
            own = [(t.LOSS, batch, at, losses[k][n]) for batch in (1, 2) for n, at in enumerate(LENGTHS)]
            for kind in (t.VARIANCE, t.MEAN):
                own += [
                    (kind, 1, 0.0, first),
                    (kind, 1, 100.0, first),
                    (kind, 9, 0.0, last),
                    (kind, 9, 100.0, after),
                ]
            same = np.sqrt(1 - alike[k] ** 2)
            own += [(t.OUTPUT, 1, 0.0, 1.0), (t.OUTPUT, 1, 1.0, 0.0)]
            own += [(t.OUTPUT, 2, 0.0, alike[k]), (t.OUTPUT, 2, 1.0, same)]
            own += [(t.AGREEMENT, place, 0.0, agree[k]) for place in BLOCKS]
            rows += [
                {
                    "network": network,
                    "seed": seed,
                    "kind": kind,
                    "place": place,
                    "at": at,
                    t.VALUE: float(value),
                }
                for kind, place, at, value in own
            ]
    return rows


def test_it_holds_where_all_of_it_happens_without_batch_norm_alone():
    verdict = b.STUDY.verdict(table())
    assert verdict.outcome == "held"
    assert [check.value for check in verdict.checks] == pytest.approx([0.01, 5, 50, 1e4, 0.9, 4, 1.5])
    assert all(check.held for check in verdict.checks)
    assert "steps from 0.01 on, with batch norm at most 5" in verdict.sentence


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"losses": ((1, 2, 5), (1, 900, 1e9))}, 0),
        ({"losses": ((1, 2, 5), (1, 2, 5))}, 0),
        ({"losses": ((1, 2, 1e3), (1, 5e3, 1e9))}, 1),
        ({"variances": ((1, 11, 12), (1, 100, 1e6))}, 2),
        ({"variances": ((1, 2, 3), (1, 100, 900))}, 3),
        ({"alike": (0.5, 0.55)}, 4),
        ({"agree": (0.1, 0.14)}, 5),
    ],
)
def test_each_part_can_fail_alone(changed, part):
    verdict = b.STUDY.verdict(table(**changed))
    assert [check.held for check in verdict.of("paper")] == [k != part for k in range(6)]
    assert verdict.outcome == "held in part"


def test_it_did_not_hold_where_batch_norm_is_the_one_that_explodes():
    changed = {
        "losses": ((1, 5e3, 1e9), (1, 2, 5)), "variances": ((1, 100, 1e6), (1, 2, 3)),
        "agree": (0.4, 0.1), "alike": (0.9, 0.0),
    }  # fmt: skip
    verdict = b.STUDY.verdict(table(**changed))
    assert verdict.outcome == "did not hold"
    assert not any(check.held for check in verdict.checks)


def test_steps_that_never_diverge_are_said_so():
    rows = table(losses=((1, 2, 5), (1, 2, 900)))
    assert np.all(np.isinf(diverging_lengths(rows, t.PLAIN)))
    assert (
        b.STUDY.draw(rows)[0].title == "No step tried multiplies the loss by 1000, with batch norm or without"
    )
    titles = [figure.title for figure in b.STUDY.draw(table())]
    assert titles[0] == (
        "The loss is multiplied by 1000 by steps from 0.01 on without batch norm, by no step tried with it"
    )
    assert "a diverging update the last block's channel variance goes from 100 to 1e6" in titles[2]
    assert "cosine of 0.90" in titles[3]
    assert "cosine of 0.00" in titles[4]
