"""Maps of training over the learning rate and one number of the network, beside what theory says of their boundary."""
