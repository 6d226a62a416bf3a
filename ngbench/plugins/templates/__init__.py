"""The files of a new plugin: one folder a kind, and what all kinds have in ``common``.

``$name``, ``$module``, ``$function`` and ``$class_name`` stand for what follows from the plugin's name
(:mod:`string.Template`).
"""
