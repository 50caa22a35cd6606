"""Names of Keras's layers that have kernels, by what their kernels are like."""

DENSE = ("Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D")
DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")
SEPARABLE = ("SeparableConv1D", "SeparableConv2D")
TRANSPOSE = ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
ATTENTION = ("MultiHeadAttention", "GroupQueryAttention")
# And how many gates share one kernel.
GATED = {"LSTM": 4, "GRU": 3}
LAYERS = (
    *DENSE,
    *DEPTHWISE,
    *SEPARABLE,
    *TRANSPOSE,
    *ATTENTION,
    *GATED,
    "SimpleRNN",
)
