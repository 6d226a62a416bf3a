"""The conformance test of plugins: what an optimizer, a task or an approximation must do to be benchmarked.

:func:`check_plugin` runs it; ``ngbench check-plugin NAME`` prints what it finds. Each check is a function of a subject,
one concept a module, and stands in a registry in the order in which it is shown.
"""

from __future__ import annotations

from ngbench.experiments.conformance.apart import check_plugin_apart
from ngbench.experiments.conformance.plugins import Kind, check_plugin, kinds_of

__all__ = ["Kind", "check_plugin", "check_plugin_apart", "kinds_of"]
