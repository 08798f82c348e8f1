"""Up to which depth networks train: one short training for each cell of a map, beside the theory's 16ξ."""
