"""Images of a data set, of a side that a network takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional as F

from normfield.data import DataSet, load
from normfield.errors import InvalidInput


@dataclass(frozen=True)
class Images:
    """Which images.

    Attributes
    ----------
    data
        Name of a data set of images.
    samples, tests
        How many of the training and of the test images.
    side
        Pixels of a row; images of another side are averaged over areas, or their pixels repeated.
    """

    data: str
    samples: int
    tests: int
    side: int = 32

    def read(self) -> DataSet:
        """The images (samples, colours, side, side), standardised before they are resized.

        Raises
        ------
        InvalidInput
            The set has no test images.
        """
        given = load(self.data, self.samples, quiet=True).with_less_test(self.tests)
        tests, _ = held_out(given)
        return replace(given, inputs=resized(given.inputs, self.side), test_inputs=resized(tests, self.side))


def held_out(data: DataSet) -> tuple[Tensor, Tensor]:
    """Test images and their labels.

    Raises
    ------
    InvalidInput
        The set has none.
    """
    if data.test_inputs is None or data.test_targets is None:
        raise InvalidInput(
            expected=f"test images of {data.name}", got="none", instead="give its test files, too"
        )
    return data.test_inputs, data.test_targets


def resized(images: Tensor, side: int) -> Tensor:
    """Images (samples, colours, side, side)."""
    return images if images.shape[-1] == side else F.interpolate(images, size=(side, side), mode="area")
