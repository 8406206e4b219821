"""Networks: the places of their layers in a tree, and how the layers are connected."""
