"""Multi-scale dilated convolution of signals: several kernel sizes side by side, ReLU and 1x1 merge in one pass.

Kernels w of odd sizes k slide over the channels i of a record x, with dilation d and zeros beyond its ends; the results
stand one below the other as the channels c of h, which a merge M mixes into y:

.. math:: h_c(t) = b_c + \\sum_i \\sum_{j=0}^{k-1} w_{ci}(j)\\, x_i(t + d (j - r)), \\quad r = (k - 1) / 2, \\qquad
          y_m(t) = \\mu_m + \\sum_c M_{mc} \\max(h_c(t), 0)

`multiscale_conv1d` computes it for batches of records without ever storing h, `multiscale_conv1d_grad` its exact
gradients. Without ReLU the whole is one convolution: `collapse` returns its kernel. Long kernels of a batch of records
are convolved by Fourier transform where that is quicker.
"""

from ecgkern.conv._multiscale import Gradients, collapse, multiscale_conv1d, multiscale_conv1d_grad

__all__ = ["Gradients", "collapse", "multiscale_conv1d", "multiscale_conv1d_grad"]
