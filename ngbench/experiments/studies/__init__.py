"""Studies: one YAML file for each table and figure of the thesis, with the claims that it draws from it.

A study says what runs (panels, arms, three scales), what the figure looks like, and its claims, each a region for
the difference of two measurements. Loads no torch, but for :mod:`ngbench.experiments.studies.checking`.
"""
