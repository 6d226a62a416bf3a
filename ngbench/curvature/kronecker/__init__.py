"""Sums of Kronecker products, and the approximations that find them."""
