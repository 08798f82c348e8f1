"""Expectations of two jointly Gaussian arguments of an activation: closed forms, series, tables."""
