"""Hyper-parameters and options as the keyword parameters of a plugin's function: names, types, bounds, defaults.

A plugin's signature is its documentation. Values may be ``bool``, ``int``, ``float``, ``str``, ``Literal``,
unions of those, and ``Annotated`` with a :class:`Range`::

    def kfac(model, task, *, lr: Annotated[float, Range(above=0)] = 0.01,
             curvature_interval: Annotated[int, Range(minimum=1)] | Literal["once"] = 100): ...

Everything is validated before anything runs.
"""
