"""γ of batch norms set in place: what is touched, what is not, and what is refused."""

import copy
import math

import pytest
import torch
from torch import nn

import normfield as nf


class Network(nn.Module):
    """Norms of every sort, nested."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4))
        self.body = nn.ModuleList([nn.BatchNorm1d(5), nn.SyncBatchNorm(5), nn.BatchNorm3d(2)])
        self.bare = nn.BatchNorm1d(5, affine=False)
        self.layer = nn.LayerNorm(5)


BATCH_NORMS = {"stem.1.weight", "body.0.weight", "body.1.weight", "body.2.weight"}


def test_every_batch_norm_and_nothing_else():
    model = Network()
    model.body[0].weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    assert nf.init_gamma_(model, 0.25) is model
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == BATCH_NORMS
    assert all((after[name] == 0.25).all() for name in BATCH_NORMS)
    assert not model.body[0].weight.requires_grad
    assert model.body[1].weight.requires_grad
    assert model.body[1].weight.grad is None
    assert model.body[1].weight.is_leaf
    assert torch.equal(torch.get_rng_state(), state)


def test_a_tenth_unless_told_otherwise():
    model = nf.init_gamma_(nn.BatchNorm1d(3))
    assert model.weight.tolist() == pytest.approx([0.1] * 3)


def test_other_norms_when_asked():
    model = nf.init_gamma_(Network(), 2.0, kinds=(nn.LayerNorm, nn.GroupNorm))
    assert (model.layer.weight == 2).all()
    assert (model.stem[2].weight == 2).all()
    assert (model.stem[1].weight == 1).all()


def test_an_optimizer_that_was_made_before_goes_on_with_it():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    nf.init_gamma_(model, 0.1)
    model(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).square().sum().backward()
    gradient = model[1].weight.grad.clone()
    optimizer.step()
    assert torch.allclose(model[1].weight, 0.1 - 0.5 * gradient)


def test_outputs_scale_with_gamma_where_a_norm_is_last():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    one = model(inputs)
    assert torch.allclose(nf.init_gamma_(model, 0.5)(inputs), 0.5 * one)


def test_a_description_reads_the_new_gamma():
    model = nf.build(nf.mlp(inputs=4, width=6, depth=3, outputs=2), seed=0)
    found = nf.describe(nf.init_gamma_(model, 0.1))
    norms = [layer for layer in found.layers if isinstance(layer, nf.BatchNorm)]
    assert [layer.gamma for layer in norms] == pytest.approx([0.1, 0.1])


def test_norms_may_share_gamma_or_be_used_twice():
    first, second = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    second.weight = first.weight
    model = nn.ModuleDict({"a": first, "b": second, "a again": first})
    nf.init_gamma_(model, 0.3)
    assert torch.equal(second.weight, torch.full((3,), 0.3))


def shared_with_another():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.PReLU(3))
    model[1].weight = model[0].weight
    return model


def parametrised():
    return nn.utils.parametrizations.weight_norm(nn.BatchNorm2d(3), dim=None)


REFUSED = {
    "no module": (lambda: nf.init_gamma_(3), "expected a torch.nn.Module, got int"),
    "no norm": (
        lambda: nf.init_gamma_(nn.Linear(2, 2)),
        "expected a model with γ in a batch norm, got Linear",
    ),
    "no affine norm": (
        lambda: nf.init_gamma_(nn.Sequential(nn.BatchNorm1d(2, affine=False))),
        "1 without γ (affine=False)",
    ),
    "not finite": (lambda: nf.init_gamma_(Network(), math.nan), "gamma as a finite number, got nan"),
    "words": (lambda: nf.init_gamma_(Network(), "small"), "gamma as a finite number, got 'small'"),
    "too large for half": (lambda: nf.init_gamma_(Network().half(), 1e6), "can hold, got 1e+06"),
    "a kind that is no class": (
        lambda: nf.init_gamma_(Network(), 0.1, kinds="layer"),
        "a tuple of module classes",
    ),
    "lazy": (lambda: nf.init_gamma_(nn.LazyBatchNorm1d()), "run one forward pass"),
    "shared with another kind": (
        lambda: nf.init_gamma_(shared_with_another()),
        "0.weight, which is also 1.weight",
    ),
    "parametrised": (lambda: nf.init_gamma_(parametrised()), "as a plain parameter, got Tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_one_line(name):
    call, words = REFUSED[name]
    with pytest.raises(nf.InvalidInput) as caught:
        call()
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_refusal_changes_nothing():
    model = nn.ModuleList([nn.BatchNorm1d(3), shared_with_another()])
    with pytest.raises(nf.InvalidInput):
        nf.init_gamma_(model, 0.1)
    assert all((norm.weight == 1).all() for norm in (model[0], model[1][0]))
