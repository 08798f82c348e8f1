"""How networks train, and how far what their layers are given moves: plain, batch norm, noisy batch norm."""
