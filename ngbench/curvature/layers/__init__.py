"""How a layer is used in a forward pass, for each type of module that has curvature."""
