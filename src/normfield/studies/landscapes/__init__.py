"""How rough the loss is along the gradient while a network trains, with batch norm and without."""
