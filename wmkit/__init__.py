"""Playable world models of games: `wmkit.open_world(run)` opens one."""

__version__ = "0.1.0"


def __getattr__(name):
    "Doors that import their room when they are first used: `import wmkit` itself loads nothing."
    if name == "open_world":
        from .worlds.load import open_world
        return open_world
    raise AttributeError(f"module 'wmkit' has no attribute {name!r}; it offers open_world, and its "
                         f"rooms are imported by name, e.g. `from wmkit.worlds.world import World`")


def __dir__():
    return ["__version__", "open_world"]
