"""How far from orthogonal the samples of a batch are, layer by layer."""
