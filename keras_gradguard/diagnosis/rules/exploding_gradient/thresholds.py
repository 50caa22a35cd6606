"""The thresholds of the rule `exploding_gradient`, all of them."""

# at_once
# Outputs so many times larger than what comes in and what is wanted.
AT_ONCE_SIGNAL = 1e3
# A first loss, or a norm, a million times over what such targets can give.
MOST = 1e6


# free_state
# Outputs of a recurrent layer, so many times as large as once before; and by
# how much of the loss of then it lies above it.
FREE_STATE = {"outputs": 100.0, "loss": 0.5}


# lasting
DEPTH = {"ratio": 1e3, "window": 10, "learned": 0.15, "stalled": 0.02}
SHARE = 0.8


# signal
# Growth of the signal over the layers that no initializer means.
DEEP_SIGNAL = 1e6


# start
# Numbers beyond this leave no gradient in float32.
HUGE = 1e30
# Healthy deep tanh nets end at 140.
EXPLODED = 1e4
FEWEST_LAYERS = 3
# Growth of the signal that no initializer means.
START_SIGNAL = 1e3


# sudden
# An update this much larger than the weights leaves nothing of them.
HUGE_UPDATE = 10.0
BURST = {"records": 64, "growth": 100.0, "loss": 10.0, "after": 30}
# The latest records before a burst, and the records after it; the loss above
# its first at the burst; what had been learnt, and how much of that is gone.
LOST = {
    "before": 32,
    "after": 40,
    "growth": 100.0,
    "loss": 2.0,
    "learnt": 0.3,
    "gone": 0.7,
    "coming_back": 0.2,
    "most": 16,
}
RUNAWAY = {"records": 256, "each": 100.0, "both": 1e6}


# through_time
# As over depth; Pascanu et al. (2013) show growth by a factor at each time
# step, so what a sum over time steps can give is left alone.
THROUGH_TIME = {
    "grows": 1e3,
    "each": 10.0,
    "window": 10,
    "learned": 0.15,
    "stalled": 0.02,
}
