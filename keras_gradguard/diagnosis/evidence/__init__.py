"""How a trace is read: stretches, learning, baselines, activations."""
