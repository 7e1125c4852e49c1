"""What features are computed in, chosen by the processor where nobody says it."""

import dataclasses

from gcd_longtail.settings.commands import DEFAULT_BACKBONE, LARGE_SIZE, FeatureConfig
from seminar_common.device import PlaceConfig, choose
from seminar_common.progress import say


def with_precision(config: FeatureConfig, place: PlaceConfig) -> FeatureConfig:
    """Return ``config`` with a precision that is decided: the given one, or that for this processor.

    bfloat16 is taken where it was measured to lose next to nothing, the default backbone at 224 pixels
    (docs/explain/gcd_method.md), and where it takes half the time. A run keeps what was decided, and a processor without
    bfloat16 rounds as one with it does.

    Args:
        config: Its size is decided already.
        place: Where the backbone runs.
    """
    if config.precision != "auto":
        return config
    measured = config.backbone == DEFAULT_BACKBONE and config.side >= LARGE_SIZE and config.layers == 1
    if not measured or choose(place).accelerator != "cpu" or not _is_quicker_in_bfloat16():
        return dataclasses.replace(config, precision="32-true")
    say(
        "features are computed in bfloat16, in half the time, since this processor multiplies in it; "
        "--precision 32-true takes 32 bits"
    )
    return dataclasses.replace(config, precision="bf16-mixed")


def _is_quicker_in_bfloat16() -> bool:
    from gcd_longtail.backbones.cpu_network import is_quicker_in_bfloat16

    return is_quicker_in_bfloat16()
