"""What TensorFlow and torch do alike: operations run as they are written."""

import contextlib

import keras


def float64():
    return contextlib.nullcontext()


def compiling_fast():
    return contextlib.nullcontext()  # There is nothing to choose.


def native(variable):
    return getattr(variable, "_value", variable)


def run_whole(function, *arguments):
    return function(*arguments)


def compile_ahead(function, *arguments):
    del arguments
    return function


def own_cpu():
    return keras.device("cpu:0")


def wait_for_records():
    """Records are there when a step has run."""
