# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Another quantizer for a recommender
#
# A click model is mostly tables. What does it lose when a number of a table may be one of three, of four, or of two?
# This page writes a quantizer to three values, trains it beside those of the package, and draws quality against bytes.
#
# Run it as it is (`python examples/recsys_quantizer.py`, some 20 seconds of one core), or cell by cell: VS Code knows the `# %%`
# marks, and `jupytext --to notebook` makes a notebook of it. Then change what is marked with **TRY**.

# %%
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from torch import Tensor

from recsys_bnn.data.criteo_log import write_log
from recsys_bnn.data.generator import SyntheticConfig
from recsys_bnn.evaluate import evaluate
from recsys_bnn.model.quantizers import QUANTIZERS, ScaledQuantizer
from recsys_bnn.model.quantizers.base import straight_through
from recsys_bnn.prepare import prepare
from recsys_bnn.settings.prepare import PrepareConfig
from recsys_bnn.settings.training import EvaluateSettings, TrainSettings, small
from recsys_bnn.train import train

OUT = Path(os.environ.get("EXAMPLES_OUT") or tempfile.mkdtemp(prefix="recsys-"))
ROWS = int(os.environ.get("EXAMPLES_ROWS", "60000"))

# %% [markdown]
# ## A log
#
# Clicks that a known probability decided, in the form of the Criteo challenge: a label, 13 integers, 26 categories. The
# generator says how good any model can be at most.

# %%
write_log(OUT / "log.txt", SyntheticConfig(ROWS, main_share=0.2, dense_share=0.3, pairs=4, rank=2, drift=0.1))
prepare(PrepareConfig(format="criteo-kaggle", input=(OUT / "log.txt",), out=OUT / "data", name="synthetic"))

# %% [markdown]
# ## The quantizer
#
# It maps a tensor to few values for each scale and passes a gradient. `straight_through` is the identity's gradient in the
# place of the rounding's, which is zero nearly everywhere. The scale is learned; the base class keeps it.


# %%
class Ternary(ScaledQuantizer):
    """-s, 0 and s with a learned s. Source: Li et al., "Ternary Weight Networks", 2016, Eq. 3, with threshold s/2."""

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Return ``x`` in three values, of the same shape."""
        scale = self.scale(index)
        in_steps = x / scale
        # TRY another threshold: in_steps.sign() * (in_steps.abs() > 0.7) has more zeros.
        return straight_through(in_steps, in_steps.round().clamp(-1, 1)) * scale


QUANTIZERS["ternary"] = Ternary

# %% [markdown]
# ## Training
#
# All else is equal: the same rows, seed and settings, MLPs of 8 bits beside the tables of few. **TRY** `"mlp_bits": 2`.

# %%
preset = small()
recipe = replace(
    preset, data=OUT / "data", optimization=replace(preset.optimization, choose_passes="no", epochs=1)
)
MLPS = {"mlp_bits": 8, "bottom_mlp_bits": 8}
CHANGES = {
    "float": {},
    "2-bit": MLPS | {"embedding_bits": 2},
    "ternary": MLPS | {"embedding_bits": 2, "quantizer": "ternary"},
    "1-bit": MLPS | {"embedding_bits": 1},
}
found = {}
for name, change in CHANGES.items():
    settings: TrainSettings = replace(
        recipe,
        out=OUT / "runs" / name,
        model=replace(recipe.model, **change),
    )
    run = train(settings)
    results = evaluate(EvaluateSettings(run.folder))
    auc, size = (results.one(metric="roc_auc", split="test"), results.one(metric="size_mb"))
    found[name] = auc, size
    print(f"{name:12} AUC {auc.value:.4f} [{auc.ci_low:.4f}, {auc.ci_high:.4f}]   {size.value:7.3f} MB")

# %% [markdown]
# ## The picture
#
# Up and to the left is better. The bars are 95% intervals over the test rows: two models whose bars overlap may still
# differ surely, since they see the same rows. `recsys-bnn evaluate --baseline RUN` gives the paired difference.

# %%
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for name, (auc, size) in found.items():
    axes.errorbar(
        size.value, auc.value, [[auc.value - auc.ci_low], [auc.ci_high - auc.value]], fmt="o", capsize=3
    )
    axes.annotate(name, (size.value, auc.value), xytext=(8, 4), textcoords="offset points")
axes.set(xscale="log", xlabel="MB (log)", ylabel="ROC AUC, test")
axes.margins(x=0.25)
figure.savefig(OUT / "quality-against-bytes.png", dpi=120)
print(f"open {OUT / 'quality-against-bytes.png'}")
