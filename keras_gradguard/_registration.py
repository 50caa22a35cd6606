"""Makes Keras know the classes of this package, whichever is imported first.

Keras finds a saved class of another package only if that class is registered,
and ours are registered when their modules are imported. These modules need
Keras, and `import keras_gradguard` must not import it. So they are imported at
once if Keras is there, else at the end of the import of Keras, whenever that
comes.
"""

import importlib
import sys
import threading

_REGISTERING = (
    "keras_gradguard.clippers",
    "keras_gradguard.optimizers",
    "keras_gradguard.presets",
    "keras_gradguard.layers",
)


def register():
    """Register our classes with Keras, now or as soon as it is imported."""
    if _keras_is_loaded() and _finder.on_keras():
        return
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class _Finder:
    """Waits for the import of Keras; finds what the other finders find.

    It leaves `sys.meta_path` when all is registered. Looking for Keras without
    importing it, and an import of Keras that fails, change nothing.
    """

    def __init__(self):
        self._here = threading.local()

    def find_spec(self, name, path=None, target=None):
        """Find Keras as others do, with a loader that tells us."""
        if name == "keras":
            spec = self._ask_others(name, path, target)
            if hasattr(getattr(spec, "loader", None), "exec_module"):
                spec.loader = _Loader(spec.loader)
            return spec
        # Some other hook may load Keras past us, Keras may import us, or
        # another thread may hold one of our modules: then the next import
        # of anything is the occasion.
        waits = self in sys.meta_path and _keras_is_loaded() and _at_rest()
        if waits and self.on_keras():
            # Who looks has counted us: he would skip the finder after us.
            return self._ask_others(name, path, target)
        return None

    def on_keras(self):
        """Register and leave `sys.meta_path`, once Keras has been imported.

        Returns:
            Bool, whether it has been tried to the end. A failure while some of
            our modules are being imported may pass: then it is False. One at
            rest will not, and the user sees it where a name of ours is used.
        """
        if getattr(self._here, "busy", False):
            return False
        self._here.busy = True
        try:
            at_rest = _at_rest()
            done = _import_all() or at_rest
        finally:
            self._here.busy = False
        if done and self in sys.meta_path:
            sys.meta_path.remove(self)
        return done

    def _ask_others(self, name, path, target):
        # Another hook may ask all finders in its turn, us among them.
        if getattr(self._here, "asking", False):
            return None
        self._here.asking = True
        try:
            for finder in [f for f in sys.meta_path if f is not self]:
                find = getattr(finder, "find_spec", None)
                spec = find(name, path, target) if find else None
                if spec is not None:
                    return spec
            return None
        finally:
            self._here.asking = False


class _Loader:
    """The loader of Keras, which says when Keras has been executed."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self.__dict__["_loader"], name)

    def create_module(self, spec):
        """Make the module as the loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module):
        """Execute the module, then register."""
        # From here on Keras is as it would be without us: for its resources,
        # `inspect` and `importlib.reload`.
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _finder.on_keras()


def _import_all():
    """Import what registers; return whether that went well.

    What is being imported already, by us or by another thread, registers when
    that import ends.
    """
    for name in _REGISTERING:
        try:
            importlib.import_module(name)
        except Exception:
            # `import keras` must not fail for our sake.
            return False
    return True


def _keras_is_loaded():
    module = sys.modules.get("keras")
    # Looking at an attribute of a lazy module would load it.
    is_lazy = type(module).__name__ == "_LazyModule"
    return module is not None and not is_lazy and not _is_loading(module)


def _is_loading(module):
    spec = getattr(module, "__spec__", None)
    return getattr(spec, "_initializing", False)


def _at_rest():
    """Whether none of our modules is being imported."""
    return not any(
        _is_loading(module)
        for name, module in sys.modules.copy().items()
        if name.startswith("keras_gradguard.")
    )


_finder = _Finder()
