"""Imports of optional dependencies, with an error that names the extra."""

import importlib


def require(module, extra, owner):
    """Import an optional module or say which pip extra brings it.

    Args:
        module: Dotted module name, e.g. `"matplotlib.pyplot"`.
        extra: Name of the extra of this package that installs it.
        owner: Who asks, as it should stand in the error, e.g.
            `"GradientMonitor.plot"`.

    Returns:
        The imported module.

    Raises:
        ImportError: If the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".", maxsplit=1)[0]
        raise ImportError(
            f"{owner}: `{package}` is needed and not installed. "
            f'Run: pip install "keras-gradguard[{extra}]"'
        ) from error


def tensorboard(module):
    """Import a module of TensorBoard, for `GradientMonitor`.

    Args:
        module: Its name in the package `tensorboard`.
    """
    return require(f"tensorboard.{module}", "tensorboard", "GradientMonitor")
