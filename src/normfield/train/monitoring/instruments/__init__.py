"""Measurements as instruments of a monitor: numbers by quantity and layer at one moment of a training run."""
