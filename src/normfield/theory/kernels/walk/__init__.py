"""The walk through a description, forwards with both kernels and backwards with the loss's gradient."""
