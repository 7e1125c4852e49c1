"""Models with random weights that are timed: the sizes of a preset, and the bits of the study's models."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from recsys_bnn.runtime.random_spec import Shape, random_spec
from recsys_bnn.runtime.spec import GROUPS, Codes, ModelSpec, ScaleKind
from recsys_bnn.settings.bench import Mlps
from recsys_bnn.settings.training import ModelConfig, medium
from recsys_bnn.study_models.variants import VARIANTS
from seminar_common.errors import UserError

INTEGERS, FIELDS = 13, 26
_DRAWN_ROWS = 10_000
_GROUPS = {"embedding_scale": "group"}
_EIGHT_BIT_BOTTOM = {"bottom_mlp_bits": 8}
_CHANGES: tuple[Mapping[str, Any], ...] = (
    {},
    {"embedding_bits": 8, "mlp_bits": 8, **_EIGHT_BIT_BOTTOM},
    {"embedding_bits": 4, "mlp_bits": 4, **_GROUPS, **_EIGHT_BIT_BOTTOM},
    {"embedding_bits": 1, "mlp_bits": 1},
    {"embedding_bits": 1, "mlp_bits": 1, **_GROUPS, **_EIGHT_BIT_BOTTOM},
    {"embedding_bits": 1, "mlp_bits": 1, "activation_bits": 4, **_GROUPS},
    {"embedding_bits": 1, "mlp_bits": 1, "activation_bits": 4, **_GROUPS, **_EIGHT_BIT_BOTTOM},
)
_OF_STUDY = ("mixed-e1-b8-w8-a8", "mixed-e1h8-b8-w1-a4", "mixed-e1h2-b8-w1-a4")
"""Mixed models as the study has them, with their hot rows."""


def configs(mlps: Mlps) -> dict[str, ModelConfig]:
    """Return the models to time by name; float comes first."""
    base = medium().model if mlps == "medium" else ModelConfig()
    plain = replace(base, dropout=0.0)
    every = [replace(plain, **change) for change in _CHANGES]
    for name in _OF_STUDY:
        changed = VARIANTS[name].change(medium()).model
        kept = ("embedding_bits", "mlp_bits", "activation_bits", "bottom_mlp_bits", "embedding_scale")
        every.append(
            replace(plain, **{key: getattr(changed, key) for key in (*kept, "hot_bits", "hot_share")})
        )
    return {config.name: config for config in every}


def random_model(config: ModelConfig, rows: int, rng: np.random.Generator) -> ModelSpec:
    """Return a model with random weights, whose tables have so many ``rows`` each, the first of them over and over."""
    drawn = min(rows, _DRAWN_ROWS)
    spec = random_spec(shape(config, drawn), rng)
    return spec if rows == drawn else _enlarged(spec, rows)


def _enlarged(spec: ModelSpec, rows: int) -> ModelSpec:
    table, every = spec.table, np.full(spec.fields, rows)
    hot_rows = table.hot_rows * rows // table.rows
    starts = np.ceil(every[:, None] ** (np.arange(1, GROUPS) / GROUPS)).astype(np.int64)
    larger = replace(
        table,
        cardinalities=every,
        rows=every,
        hot_rows=hot_rows,
        cold=_repeated(table.cold, int((every - hot_rows).sum())),
        hot=None if table.hot is None else _repeated(table.hot, int(hot_rows.sum())),
        group_starts=None if table.group_starts is None else starts,
    )
    return replace(spec, table=larger)  # the first-order term keeps its ids, the frequent ones


def _repeated(codes: Codes, rows: int) -> Codes:
    return replace(codes, data=np.resize(codes.data, (rows, codes.data.shape[1])))


def shape(config: ModelConfig, rows: int) -> Shape:
    """Return the sizes and bits of a random model whose tables have so many ``rows`` each."""
    if config.layer_bits:
        raise UserError("--layer-bits: random models have the same bits in all layers of an MLP")
    return Shape(
        integers=INTEGERS,
        missing_flags=config.missing_flags,
        cardinalities=[rows] * FIELDS,
        dim=config.embedding_dim,
        bottom=config.bottom_mlp,
        top=config.top_mlp,
        bottom_bits=tuple(config.bottom_bits.default),
        top_bits=tuple(config.top_bits.default),
        thresholds=config.thresholds,
        embedding_bits=config.embedding_bits,
        scale_kind=_scale_kind(config),
        hot_share=config.hot_share if config.hot_bits else 0.0,
        hot_bits=config.hot_bits or 8,
        first_order=config.first_order,
    )


def _scale_kind(config: ModelConfig) -> ScaleKind:
    if config.embedding_bits == 32:
        return "none"
    if config.embedding_scale != "auto":
        return config.embedding_scale
    return "none" if config.embedding_bits == 1 else "field"
