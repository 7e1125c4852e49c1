"""Generalized category discovery on long-tailed data.

::

    from gcd_longtail import load, make_method

    data = load(Path("data/caltech101/seed0"))  # a folder that `split` and `features` filled
    found = make_method("shift-merge-mix").fit(data.problem, k=100, seed=0)
"""

from seminar_common.lazy import lazy_exports

_EXPORTS = {
    "Data": "gcd_longtail.protocol.data",
    "Discovered": "gcd_longtail.discovery.problem",
    "Discovery": "gcd_longtail.discovery.estimator",
    "FeatureConfig": "gcd_longtail.settings.commands",
    "LinearPredictor": "gcd_longtail.discovery.predictors",
    "Problem": "gcd_longtail.discovery.problem",
    "SourceConfig": "gcd_longtail.settings.commands",
    "check_k": "gcd_longtail.discovery.problem",
    "estimate": "gcd_longtail.discovery.number_of_classes",
    "load": "gcd_longtail.protocol.data",
    "load_found": "gcd_longtail.discovery.run",
    "make_method": "gcd_longtail.discovery.methods",
    "nearest_centroid": "gcd_longtail.discovery.predictors",
    "open_source": "gcd_longtail.images.sources",
}
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
