"""Damped blocks and how they are solved."""
