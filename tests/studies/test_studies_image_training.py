"""Training on images: shifts and mirrors found again by search, steps written out, accuracies counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from normfield.data import DataSet, load
from normfield.errors import InvalidInput
from normfield.studies.image_training.augmentation import augmented, mirrored, shifted
from normfield.studies.image_training.images import Images, held_out, resized
from normfield.studies.image_training.loop import Recipe, accuracies_by_epoch


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(count, side=8, colours=2):
    return torch.randn(count, colours, side, side, generator=generator(9))


def all_shifts(image):
    """The 81 places of an image within a border of four zeros."""
    padded = np.pad(image.numpy(), ((0, 0), (4, 4), (4, 4)))
    side = image.shape[-1]
    return {(y, x): padded[:, y : y + side, x : x + side] for y in range(9) for x in range(9)}


def test_images_are_shifted_by_up_to_four_pixels_each_way_and_by_each_of_them():
    image = random_images(1)
    out = shifted(image.expand(4000, -1, -1, -1), generator())
    places = all_shifts(image[0])
    found = [next(place for place, cut in places.items() if np.array_equal(cut, one)) for one in out.numpy()]
    counts = [found.count(place) for place in places]
    assert min(counts) > 0, "each of the 81 places"
    assert np.std(counts) == pytest.approx(np.sqrt(4000 / 81), rel=0.4), "none more often than by chance"


def test_images_are_mirrored_left_to_right_half_of_the_time():
    images = random_images(1000)
    out = mirrored(images, generator())
    as_is = (out == images).flatten(1).all(1)
    turned = (out == images[..., range(7, -1, -1)]).flatten(1).all(1)
    assert torch.all(as_is ^ turned)
    assert as_is.sum().item() == pytest.approx(500, abs=3 * np.sqrt(250))


def test_images_in_a_batch_are_moved_independently_and_from_the_generator_alone():
    images = random_images(1).expand(50, -1, -1, -1)
    before = torch.random.get_rng_state()
    out = augmented(images, generator(1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(out, augmented(images, generator(1)))
    assert not torch.equal(out, augmented(images, generator(2)))
    assert len({one.numpy().tobytes() for one in out}) > 20


def test_resizing_averages_areas_and_repeats_pixels():
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert resized(image, 2).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert torch.equal(resized(image, 8), image.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert resized(image, 4) is image


def test_images_of_a_set_with_a_side():
    found = Images("digits", 30, 20, side=16).read()
    given = load("digits", 30)
    assert found.inputs.shape == (30, 1, 16, 16)
    assert found.test_inputs.shape == (20, 1, 16, 16)
    assert torch.equal(found.inputs[..., ::2, ::2], given.inputs)
    assert torch.equal(found.targets, given.targets)


def test_a_set_without_test_images_is_refused():
    data = DataSet("bare", torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]), classes=2)
    with pytest.raises(
        InvalidInput, match=r"expected test images of bare, got none; give its test files, too"
    ):
        held_out(data)


def small_set():
    inputs, labels = random_images(26).double(), torch.arange(26) % 3
    return DataSet(
        "random", inputs.float(), labels, classes=3, test_inputs=inputs[:7].float(), test_targets=labels[:7]
    )


def linear(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(128, 3))


def test_steps_are_heavy_ball_with_weight_decay_written_out():
    data, model, recipe = small_set(), linear(), Recipe(2, 0.05, 0.9, 0.01, batch_size=8)
    weight, bias = (parameter.detach().numpy().astype(float) for parameter in model[1].parameters())
    found = list(accuracies_by_epoch(model, data, recipe, seed=4))
    draws, velocity = generator(4), [np.zeros_like(weight), np.zeros_like(bias)]
    shares = []
    for _ in range(2):
        right = 0
        for images, labels in data.batches(8, draws):
            x, y = augmented(images, draws).flatten(1).double().numpy(), np.eye(3)[labels]
            outputs = x @ weight.T + bias
            right += (outputs.argmax(1) == labels.numpy()).sum()
            chances = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
            slopes = [(chances - y).T @ x / 8 + 0.01 * weight, (chances - y).mean(0) + 0.01 * bias]
            velocity = [0.9 * v + s for v, s in zip(velocity, slopes, strict=True)]
            weight, bias = weight - 0.05 * velocity[0], bias - 0.05 * velocity[1]
        shares.append(right / 24)
    assert model[1].weight.detach().numpy() == pytest.approx(weight, rel=1e-3, abs=1e-5)
    assert model[1].bias.detach().numpy() == pytest.approx(bias, rel=1e-3, abs=1e-5)
    assert [each.train for each in found] == pytest.approx(shares)
    tests = data.test_inputs.flatten(1).double().numpy() @ weight.T + bias
    assert found[-1].test == pytest.approx(np.mean(tests.argmax(1) == data.test_targets.numpy()))


def test_test_images_are_judged_by_running_statistics():
    """In batch mode the shift of all test images would be taken off; by running statistics it is seen."""
    labels = torch.arange(26) % 2
    inputs = torch.where(labels == 1, 1.0, -1.0)[:, None, None, None].expand(26, 1, 8, 8)
    tests = torch.ones(6, 1, 8, 8)
    data = DataSet(
        "signs", inputs, labels, classes=2, test_inputs=tests, test_targets=torch.ones(6, dtype=torch.int64)
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 2))
    last = list(accuracies_by_epoch(model, data, Recipe(4, 0.1, batch_size=26), seed=0))[-1]
    assert last.test == 1.0
