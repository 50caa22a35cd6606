"""Arguments of `AutoClip` that depend on each other."""

from typing import Any

from keras_gradguard._validation import check_number


def default_clipper(arguments: dict[str, Any]) -> str:
    """`"percentile"` where its one argument of that name is given."""
    return "percentile" if "percentile" in arguments else "spikes"


def check_skip_above(
    skip_above: Any, clipper: Any, nonfinite: str
) -> float | None:
    """Return `skip_above`, or raise if it cannot be what it is.

    Args:
        skip_above: What the user passed.
        clipper: The `Clipper`.
        nonfinite: What is done with gradients that are not finite.

    Raises:
        ValueError: If it is out of range, or goes with no such clipper.
    """
    if skip_above is None:
        return None
    if not clipper.uses_only_norm or nonfinite != "skip":
        raise ValueError(
            "AutoClip: `skip_above` must come with a clipper that goes by the "
            'global norm and `nonfinite="skip"`. Received: '
            f"skip_above={skip_above!r}, clipper={clipper!r}, "
            f"nonfinite={nonfinite!r}. Use for instance "
            '`clipper="spikes"`.'
        )
    return check_number(
        "AutoClip",
        "skip_above",
        skip_above,
        minimum=1,
        hint="It is a multiple of the threshold: try 10.",
    )


def delegated(name: str) -> Any:
    """A property that is the inner optimizer's attribute of that name."""

    def get(self: Any) -> Any:
        return getattr(self.inner_optimizer, name)

    def set_(self: Any, value: Any) -> None:
        # Keras's own `__init__` assigns its defaults, before there is one.
        if "inner_optimizer" in self.__dict__:
            setattr(self.inner_optimizer, name, value)

    return property(get, set_)
