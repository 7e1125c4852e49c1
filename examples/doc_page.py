# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # Another kind of page for a detector
#
# Nobody has labelled pages of your archive. A generator draws them, with exact boxes. This page writes a new kind, a
# broadside ballad: one large woodcut over verse. It draws some, ages them as scans are aged, and asks the detector that
# ships what it sees.
#
# Run it as it is (`python examples/doc_page.py`, seconds), or cell by cell: VS Code knows the `# %%` marks, and
# `jupytext --to notebook` makes a notebook of it. Then change what is marked with **TRY**.

# %%
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np

from doc_detect import Detector
from doc_detect.settings.synth import DegradeSettings, SynthSettings
from doc_detect.synth import find_sources, make_page
from doc_detect.synthesis.canvas import Canvas
from doc_detect.synthesis.layouts.early_print import Setting, Style, set_block
from doc_detect.synthesis.layouts.kinds import KINDS, WORLDS, Kind
from doc_detect.synthesis.layouts.materials import Materials

OUT = Path(os.environ.get("EXAMPLES_OUT") or tempfile.mkdtemp(prefix="pages-"))
PAGES = int(os.environ.get("EXAMPLES_PAGES", "12"))

# %% [markdown]
# ## The kind
#
# A function draws a page of a given height as clean ink, and says what it placed where. `materials` gives pictures, faces
# of type and words; `g` is the page's own source of chance, so that a page is the same whenever it is drawn.


# %%
def broadside(height: int, materials: Materials, g: np.random.Generator) -> Canvas:
    """Return a broadside: one large woodcut over a ballad in blackletter."""
    canvas = Canvas.blank(height, round(height * 0.66))
    # TRY "engraving" in place of "woodcut", or two small pictures side by side.
    art = materials.picture(height * 0.4, canvas.width * 0.8, g, "woodcut")
    canvas.place(art, canvas.width * 0.1, height * 0.08, "graphic")
    size = height / 60
    style = Style(materials.face(g, "blackletter"), size, size * 1.25)
    area = (canvas.width * 0.1, height * 0.55, canvas.width * 0.8, height * 0.4)
    box = set_block(canvas, area, style, Setting(verse=True), materials.writer(g, "english"), g)
    canvas.add("main_text", [box] if box else [])
    return canvas


# %% [markdown]
# A line in `KINDS` and its share in `WORLDS` are all that `synth` needs. **TRY** harder scans: more `stains`, `strength=1.2`.

# %%
KINDS["broadside"] = Kind("ballads", broadside, degradation=DegradeSettings(stains=0.4))
WORLDS["ballads"] = {"broadside": 1.0}

# %% [markdown]
# ## Pages, and what is found on them

# %%
settings = SynthSettings(out=OUT, world="ballads", pages=PAGES, long_side=900)
materials = find_sources(settings).materials("train")
detector = Detector()
(OUT / "pages").mkdir(parents=True, exist_ok=True)
drawn, seen = [], 0
for number in range(PAGES):
    pixels, record = make_page(number, settings, materials)
    found = detector(pixels)
    wanted = [box for label, box in record["objects"] if label == "graphic"]
    scored = zip(found.labels, found.scores, found.boxes, strict=True)
    sure = [box for label, score, box in scored if label == "graphic" and score >= 0.5]
    seen += len(wanted) > 0 and len(sure) > 0
    picture = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    for boxes, colour in ((wanted, (0, 160, 0)), (sure, (0, 0, 220))):
        for x1, y1, x2, y2 in np.asarray(boxes, float).reshape(-1, 4).round().astype(int).tolist():
            cv2.rectangle(picture, (x1, y1), (x2, y2), colour, 3)
    cv2.imwrite(str(OUT / "pages" / f"{number}.png"), picture)
    drawn.append(cv2.resize(picture, (240, 360), interpolation=cv2.INTER_AREA))
print(f"a woodcut was found on {seen} of {PAGES} broadsides; green is what was drawn, red what was found")

# %% [markdown]
# ## The picture
#
# Where the detector fails on a kind that your archive has, draw some thousand pages of it and train:
# `doc-detect train --init default` starts from what ships.

# %%
rows = [np.hstack(drawn[i : i + 6]) for i in range(0, len(drawn) - len(drawn) % 6, 6)] or [np.hstack(drawn)]
cv2.imwrite(str(OUT / "broadsides.png"), np.vstack(rows))
print(f"open {OUT / 'broadsides.png'}")
