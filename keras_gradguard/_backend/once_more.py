"""The forward pass of a step that is run once more, beside it."""


def forward(model, batch, training):
    """Call a model on a batch, and compute its loss if that is known.

    Args:
        model: A Keras model.
        batch: Dict with `"x"`, and with `"y"` and `"sample_weight"` where the
            step passed them to `compute_loss`.
        training: As the step passed it to the model, or None.
    """
    kwargs = {} if training is None else {"training": training}
    outputs = model(batch["x"], **kwargs)
    if "y" in batch:
        model.compute_loss(
            x=batch["x"],
            y=batch["y"],
            y_pred=outputs,
            sample_weight=batch["sample_weight"],
            training=True,
        )
