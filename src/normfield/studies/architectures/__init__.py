"""Networks for images that papers trained, as modules of any width."""

from normfield.studies.architectures.preact_resnet import preact_resnet18
from normfield.studies.architectures.residual import residual_network
from normfield.studies.architectures.vgg import vgg16

__all__ = ["preact_resnet18", "residual_network", "vgg16"]
