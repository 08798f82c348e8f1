"""What the studies of linear models share: their problems."""
