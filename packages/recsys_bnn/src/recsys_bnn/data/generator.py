"""A Criteo-shaped click log with a planted teacher, whose best possible AUC is known.

13 heavy-tailed integers with missing values and 26 Zipf-distributed categoricals, in time order over seven
days, with labels drawn from known probabilities: a sum of main effects, smooth functions of the integers
and pairwise products of latent vectors, so that a model which learns interactions beats one that does not.
Nothing is stored for a value: its effects are looked up in small tables by its rank, so a log of any length is
made in bounded memory, and any chunk of it can be made alone. How hard it is, and why, is told in
docs/explain/recsys_generator.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from seminar_common.errors import UserError
from seminar_common.metrics import roc_auc
from seminar_common.seeds import numpy_generator
from seminar_common.splitmix import splitmix64

CRITEO_ROWS = 45_840_617
"""Rows of the Criteo Display Advertising Challenge's train.txt."""
# Distinct values of each categorical field of that file.
# fmt: off
CRITEO_CARDINALITIES = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194,
    27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572,
)
# fmt: on
# Share of missing values, and mean and deviation of log(1 + value), as in the first 10,000 rows of that file.
_MISSING = np.array([0.45, 0, 0.2, 0.2, 0.05, 0.25, 0.05, 0, 0.05, 0.45, 0.05, 0.77, 0.2])
_LOG_MEAN = np.array([0.8, 2.0, 2.0, 1.7, 7.8, 3.7, 1.2, 2.0, 3.8, 0.5, 0.8, 0.3, 1.7])
_LOG_DEVIATION = np.array([1.3, 2.0, 1.3, 1.0, 2.0, 1.5, 1.5, 1.2, 1.5, 0.5, 1.0, 0.8, 1.1])

INTEGERS, CATEGORICALS, DAYS = 13, 26, 7
CHUNK_ROWS = 65_536
_EFFECTS = 1 << 14  # entries of a field's table of effects
_MISSING_RANK = 0  # the value of this rank is the absence of one, in fields of over 1,000 values
_ABSENT = 0.03  # share of the rows without a value in these fields, at least
_STEADY = 100  # values of lower rank are there on all days
_CALIBRATION_ROWS = 100_000
_IDENTITY = 1_000_000  # a field with more values in Criteo's log tells identities
_SHORT_EXPONENT = 1.2  # of the fields of at most 1,000 values
_LARGEST = 2.0**31 - 1
_ROWS_A_RANK = (
    250  # of a log with a heavy tail: half of the reads fall on the first rows / 250 values of a long field
)


@dataclass(frozen=True)
class SyntheticConfig:
    """Size and difficulty of a log. :func:`log_config` makes the two that are documented (docs/explain/recsys_generator.md)."""

    rows: int
    """Rows of the log."""
    seed: int = 0
    """Seed of the rows; the teacher has a seed of its own, so logs of different seeds share it."""
    teacher_seed: int = 2014
    """Seed of the planted effects."""
    click_rate: float = 0.256
    """Mean click probability, as in the Criteo log."""
    logit_deviation: float = 1.55
    """Standard deviation of the logit; it sets the best possible AUC."""
    main_share: float = 0.5
    """Share of the logit's variance from main effects of categorical values."""
    dense_share: float = 0.35
    """Share from smooth functions of the integers; the rest comes from pairwise interactions."""
    rank: int = 8
    """Length of a value's latent vector; two of them interact by their inner product."""
    pairs: int = 6
    """Pairs of fields that interact."""
    tail_exponent: float = 2.0
    """Exponent s of the fields of over 1,000 values: the r-th most frequent one has a share of (r + tail_shift)^-s."""
    tail_shift: float = 400.0
    """Ranks up to about this one are almost equally frequent."""
    fresh_share: float = 0.1
    """Share of the rows with a rare value in these fields that move on, by a tenth of the field a day."""
    identity_weight: float = 5.0
    """Factor on the main effects of the five fields that have over a million values in Criteo's log, as users and ads do."""
    field_spread: float = 0.5
    """Standard deviation of the logarithm of a field's weight."""
    fade: float = 0.2
    """Main effects of a field's r-th most frequent value fall as (1 + r / fade_rank) to the power of minus this."""
    pair_fade: float = 1.0
    """The same for the interactions."""
    fade_rank: float = 100.0
    """Rank at which the effects have begun to fall."""
    drift: float = 0.15
    """How much the teacher's field weights move over the seven days, as a share of themselves."""

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise UserError(f"--rows {self.rows}: must be 1 or more")


Tail = Literal["light", "heavy"]


def log_config(rows: int, seed: int = 0, tail: Tail = "light") -> SyntheticConfig:
    """Return the configuration of one of the two documented logs.

    Args:
        rows: Rows of the log.
        seed: Seed of the rows.
        tail: ``light`` is the log of the study, where values beyond the most frequent eighth say next to nothing. In the
            ``heavy`` one reads spread over more values the longer the log is, so that rare ones can be learned, and
            their main effects are as large as those of frequent ones.
    """
    if tail == "light":
        return SyntheticConfig(rows, seed)
    return SyntheticConfig(
        rows, seed, tail_shift=max(SyntheticConfig.tail_shift, rows / _ROWS_A_RANK), fade=0.0
    )


@dataclass(frozen=True)
class SyntheticChunk:
    """Consecutive rows of a log."""

    labels: np.ndarray
    """Clicks, uint8 [B]."""
    integers: np.ndarray
    """Counts, int32 [B, 13]; -1 is a missing value."""
    categoricals: np.ndarray
    """Hashed values, uint32 [B, 26]; 0 is a missing value."""
    probabilities: np.ndarray
    """True click probabilities, float64 [B]."""


def cardinalities(rows: int) -> np.ndarray:
    """Return each field's number of distinct values for a log of ``rows``.

    Fields of up to 1,000 values keep Criteo's number c; larger ones have 1000 (c / 1000)^p, where p grows
    with log(rows) from 0 at 10,000 rows to 1 at Criteo's size, so that rows per value stay realistic.
    """
    position = np.log(max(rows, 1) / 1e4) / np.log(CRITEO_ROWS / 1e4)
    power = np.clip(position, 0.0, 1.0)
    counts = np.array(CRITEO_CARDINALITIES, dtype=np.float64)
    return np.where(counts <= 1000, counts, 1000 * (counts / 1000) ** power).astype(np.int64)


class SyntheticLog:
    """A log that is made chunk by chunk; equal configurations give equal rows."""

    def __init__(self, config: SyntheticConfig):
        self.config = config
        self.cardinalities = cardinalities(config.rows)
        generator = numpy_generator(config.teacher_seed, "teacher")
        self._field_weights = np.exp(config.field_spread * generator.standard_normal(CATEGORICALS))
        self._field_weights[np.array(CRITEO_CARDINALITIES) > _IDENTITY] *= config.identity_weight
        self._field_phases = generator.uniform(0, 2 * np.pi, CATEGORICALS)
        # A value's main effect, then its latent vector.
        self._effects = generator.standard_normal((CATEGORICALS, _EFFECTS, 1 + config.rank), dtype=np.float32)
        self._dense = generator.standard_normal((INTEGERS, 4))
        every = [(i, j) for i in range(CATEGORICALS) for j in range(i)]
        self._pairs = [every[k] for k in generator.permutation(len(every))[: config.pairs]]
        self._crossed = generator.integers(0, [INTEGERS, CATEGORICALS], (6, 2)).tolist()

    def __reduce__(self) -> "tuple[type[SyntheticLog], tuple[SyntheticConfig]]":
        """Pickle the configuration alone, as the tables of effects are made from it."""
        return SyntheticLog, (self.config,)

    def chunks(self, start: int = 0) -> Iterator[SyntheticChunk]:
        """Yield the log in time order, from chunk number ``start`` on, at most ``CHUNK_ROWS`` rows each."""
        rows = self.config.rows
        for index in range(start, -(-rows // CHUNK_ROWS)):
            first = index * CHUNK_ROWS
            yield self._chunk(index, first, min(CHUNK_ROWS, rows - first))

    def _chunk(self, index: int, first: int, size: int) -> SyntheticChunk:
        generator = numpy_generator(self.config.seed, "rows", index)
        time = (first + np.arange(size)) / self.config.rows * DAYS
        draw = self._draw(generator, time)
        probabilities = self._probabilities(draw)
        labels = (generator.random(size) < probabilities).astype(np.uint8)
        return SyntheticChunk(labels, draw.integers(), self._values(draw.ranks), probabilities)

    def _draw(self, generator: np.random.Generator, time: np.ndarray) -> "_Draw":
        shape = INTEGERS, len(time)
        ranks = np.stack([self._ranks(generator, time, int(count)) for count in self.cardinalities])
        normal = generator.standard_normal(shape, dtype=np.float32)
        counts = np.floor(np.exp(_LOG_MEAN[:, None] + _LOG_DEVIATION[:, None] * normal))
        missing = generator.random(shape, dtype=np.float32) < _MISSING[:, None]
        return _Draw(time, ranks, np.minimum(counts, _LARGEST), missing)

    def _ranks(self, generator: np.random.Generator, time: np.ndarray, count: int) -> np.ndarray:
        """Return the frequency ranks of one field's values, int64 [B]."""
        if count <= 1000:
            return _zipf(generator.random(len(time)), count, _SHORT_EXPONENT, 1.0)
        ranks = _zipf(generator.random(len(time)), count, self.config.tail_exponent, self.config.tail_shift)
        other = generator.random(len(time), dtype=np.float32)
        # New values keep arriving.
        fresh = np.flatnonzero((ranks >= _STEADY) & (other < self.config.fresh_share))
        ranks[fresh] = (ranks[fresh] + (time[fresh] * (count / 10)).astype(np.int64)) % count
        ranks[other > 1 - _ABSENT] = _MISSING_RANK
        return ranks

    def _values(self, ranks: np.ndarray) -> np.ndarray:
        """Return the 32-bit values [B, 26] that stand for ranks [26, B], as Criteo's hashes hide the original ones."""
        values = np.empty(ranks.shape[::-1], np.uint32)
        for field, count in enumerate(self.cardinalities):
            hashed = splitmix64(ranks[field], 1000 + field) >> np.uint64(32)
            values[:, field] = np.where((ranks[field] == _MISSING_RANK) & (count > 1000), 0, hashed)
        return values

    def _parts(self, draw: "_Draw") -> np.ndarray:
        """Return the unscaled main, dense and interaction parts of the logit, [3, B]."""
        main, latents = np.zeros(len(draw.time)), []
        for field in range(CATEGORICALS):
            rank = draw.ranks[field]
            effects = self._effects[field].take(rank & (_EFFECTS - 1), axis=0)
            base = np.log1p(rank.astype(np.float32) / np.float32(self.config.fade_rank))
            weight = self._field_weights[field] * self._day_weight(field, draw.time)
            main += weight * np.exp(-self.config.fade * base) * effects[:, 0]
            latents.append(effects[:, 1:] * np.exp(-self.config.pair_fade * base)[:, None])
        standard = draw.standard()
        slope, wave, phase, absent = self._dense.T[:, :, None]
        dense = np.where(draw.missing, absent, slope * standard + 0.7 * wave * np.sin(2 * standard + phase))
        pairs = sum(np.einsum("br,br->b", latents[i], latents[j]) for i, j in self._pairs)
        crossed = sum(2 * latents[field][:, 0] * standard[i] for i, field in self._crossed)
        return np.stack([main, dense.sum(0), pairs + crossed])

    def _day_weight(self, field: int, time: np.ndarray) -> np.ndarray:
        """Return how much a field's main effects weigh at ``time``, [B]: a wave of two weeks round 1."""
        return 1 + self.config.drift * np.sin(np.pi * time / DAYS + self._field_phases[field])

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Return means and weights [3, 1] of the three parts and the bias that gives the click rate."""
        config, generator = self.config, numpy_generator(self.config.teacher_seed, "calibration")
        parts = self._parts(self._draw(generator, np.linspace(0, DAYS, _CALIBRATION_ROWS, endpoint=False)))
        shares = np.array([config.main_share, config.dense_share, 1 - config.main_share - config.dense_share])
        mean = parts.mean(1, keepdims=True)
        weights = config.logit_deviation * np.sqrt(shares / parts.var(1))[:, None]
        logits = ((parts - mean) * weights).sum(0)
        low, high = -20.0, 20.0
        for _ in range(60):  # the click rate grows with the bias, so bisection finds it
            middle = (low + high) / 2
            low, high = (
                (middle, high) if _sigmoid(logits + middle).mean() < config.click_rate else (low, middle)
            )
        return mean, weights, low

    def _probabilities(self, draw: "_Draw") -> np.ndarray:
        return _sigmoid(self._logit_parts(draw).sum(0) + self._scale[2])

    def _logit_parts(self, draw: "_Draw") -> np.ndarray:
        mean, weights, _ = self._scale
        return (self._parts(draw) - mean) * weights

    def ceilings(self) -> dict[str, float]:
        """Return the ROC AUC of the true effects, and of parts of them, on rows of the whole log's time.

        ``best`` is that of the true probabilities, ``no interactions`` bounds a model that adds up what each feature
        says, such as logistic regression, and ``integers alone`` one that sees no categorical value.
        """
        generator = numpy_generator(self.config.teacher_seed, "ceilings")
        draw = self._draw(generator, np.linspace(0, DAYS, _CALIBRATION_ROWS, endpoint=False))
        main, dense, interactions = self._logit_parts(draw)
        best = main + dense + interactions
        labels = generator.random(_CALIBRATION_ROWS) < _sigmoid(best + self._scale[2])
        logits = {"best": best, "no interactions": main + dense, "integers alone": dense}
        return {name: roc_auc(labels, _sigmoid(logit)) for name, logit in logits.items()}


class _Draw(NamedTuple):
    """Features of some rows, a row of the arrays for each feature."""

    time: np.ndarray
    """Days since the log began, float64 [B]."""
    ranks: np.ndarray
    """Frequency ranks of the categorical values, int64 [26, B]."""
    counts: np.ndarray
    """Whole numbers, float64 [13, B]; also where the value is missing."""
    missing: np.ndarray
    """bool [13, B]."""

    def integers(self) -> np.ndarray:
        """Return the counts as the log has them, int32 [B, 13], -1 for a missing one."""
        return np.where(self.missing, -1, self.counts).astype(np.int32).T

    def standard(self) -> np.ndarray:
        """Return log(1 + count), standardised, [13, B]; 0 for a missing one."""
        logs = (np.log1p(self.counts) - _LOG_MEAN[:, None]) / _LOG_DEVIATION[:, None]
        return np.where(self.missing, 0, logs)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _zipf(uniform: np.ndarray, count: int, exponent: float, shift: float) -> np.ndarray:
    """Map uniform numbers to ranks 0..count-1 with P(rank) close to (rank + shift)^-exponent, by the continuous inverse."""
    tail = 1 - exponent
    first = shift**tail
    ranks = (uniform * ((count + shift) ** tail - first) + first) ** (1 / tail) - shift
    return np.minimum(ranks, count - 1).astype(np.int64)
