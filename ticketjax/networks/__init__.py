"""Networks: whose layers lie where in which tree, how they are connected, and what follows."""
