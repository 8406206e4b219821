"""Dynamic sparse training: the weights are trained, and the mask changes meanwhile."""
