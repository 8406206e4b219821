"""Selection by a quadratic model of the loss, the gradients of some samples being its Hessian."""
