"""What a kernel costs beside the data that it reads."""

# XLA compiles a kernel the longer, the more arrays it reads.
AT_ONCE = 32
# Elements up to which a tensor costs its kernel and not its data.
SMALL = 1 << 14
