"""The DLRM, its layers and quantizers, and models from run folders."""
