"""What an ensemble raises of models that it cannot take, but that train one by one."""

from __future__ import annotations

from normfield.errors import InvalidInput


class NotVectorised(InvalidInput):
    """A model whose operations ``torch.func.vmap`` cannot vectorise."""
