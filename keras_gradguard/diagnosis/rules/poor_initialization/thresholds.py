"""The thresholds of the rule `poor_initialization`, all of them."""

# kernels
# Gains: of one layer, of Glorot's; of one layer; of all hidden layers together.
NARROW, WIDE, STACK = 0.1, 5.0, 1e-3
# Gain from which on weights of one sign add up to more than came in.
ADDS_UP = 0.7
# Of the signal, behind ReLUs; and how much outputs differ at the first step.
FADES = {"left": 0.03, "contrast": 0.02}
# What comes out beside what came in, times the gain; share of zeros.
MORE = {"signal": 3.0, "zero": 0.02}
# Deviation of the numbers of an embedding: Keras draws them with 0.03, torch
# and the first Transformers with 1.
TABLE = 10.0
# Size of biases at which a sigmoid is within 2 % of an end.
SHUT = 4.0
OF_KIND = {
    "gates": SHUT,
    "constant": 0.0,
    "one_sided": ADDS_UP,
    "one_unit": 1,
    "wide": WIDE,
    "wide_table": TABLE,
    "narrow": NARROW,
    "fading": FADES["left"],
}
# Of what comes in, behind a layer that lets nothing through.
WHOLE = 0.3


# linear
# How far weights went, of their size, where their steps are not at fault.
WENT = 0.1


# rule
# What nobody wants is reported of a run that is only slow, too, by so many
# steps and this share of the plan.
LONG, OF_PLAN = 100, 0.3
# Kernels that together are so much too wide are reported sooner, where outputs
# follow by less and the loss fell by less: steps, and share of the plan.
FAR_TOO_WIDE = {
    "gain": 1000.0,
    "steps": 50,
    "of_plan": 0.08,
    "follows": 0.2,
    "fallen": 0.3,
}
# Nothing gets past a layer of one unit: by so many steps and share of the plan.
NO_WAY_ROUND = 4, 0.014
# No net learns behind whose layers less of the signal is left, and whose
# outputs differ by less from row to row.
DEAD, SAME = 1e-3, 0.02
