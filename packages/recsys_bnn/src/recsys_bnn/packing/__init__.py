"""From a trained model to a packed one: codes of every quantizer, norms folded, parity."""
