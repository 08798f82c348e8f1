"""The ``ops`` namespace of activation rows, for torch tensors."""

import torch

abs = torch.abs
erf = torch.erf
exp = torch.exp
expm1 = torch.expm1
relu = torch.relu
sigmoid = torch.sigmoid
sign = torch.sign
softplus = torch.nn.functional.softplus
tanh = torch.tanh
where = torch.where
