"""One layer's moments between points that take the statistics of different batches."""
