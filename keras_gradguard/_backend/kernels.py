"""How many arrays the kernels take that lay many side by side."""

# XLA compiles a kernel the longer, the more arrays it reads.
AT_ONCE = 32
