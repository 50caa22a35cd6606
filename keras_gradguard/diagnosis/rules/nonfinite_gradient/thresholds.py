"""The thresholds of the rule `nonfinite_gradient`, all of them."""

# rule
# Calibration from 2**15 halves the scale at each skipped update.
SKIPPED_IN_A_ROW = 30
# What counts as growth on the way to the first non-finite gradient.
GROWTH = 100.0
# A loss of a tenth of the steps that is not finite beside finite gradients, in
# epochs whose own loss is NaN.
OFTEN, EPOCHS = 0.1, 2
# What a step may change of the weights, of their size, and leave them usable;
# from so many sizes on, times are said in place of percent.
OVERTURNED, TIMES = 0.5, 10
