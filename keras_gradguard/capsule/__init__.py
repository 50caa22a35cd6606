"""A capsule: what it takes to run the steps before a fault once more."""
