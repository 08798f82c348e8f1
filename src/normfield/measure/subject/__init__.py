"""What is measured: a module as a function, its batches and loss, in a chosen mode, left as it was found."""
