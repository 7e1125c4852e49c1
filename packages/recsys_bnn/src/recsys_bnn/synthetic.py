"""A Criteo-shaped click log with a planted teacher, whose best possible AUC is known.

13 heavy-tailed integers with missing values and 26 Zipf-distributed categoricals, in time order over seven
days, with labels drawn from known probabilities: a sum of main effects, smooth functions of the integers
and pairwise products of latent vectors, so that a model which learns interactions beats one that does not.
Nothing is stored for a value: its effects are looked up in small tables by a hash of its id, so a log of
any length is made in bounded memory, and any chunk of it can be made alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seminar_common.errors import UserError
from seminar_common.seeds import numpy_generator

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
_MISSING_RANK = 5  # the value of this rank is the absence of one, in fields of over 1,000 values
_CALIBRATION_ROWS = 100_000


@dataclass(frozen=True)
class SyntheticConfig:
    """Size and difficulty of a log. The difficulty is fixed; only rows and seed are meant to vary."""

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
    main_share: float = 0.45
    """Share of the logit's variance from main effects of categorical values."""
    dense_share: float = 0.25
    """Share from smooth functions of the integers; the rest comes from pairwise interactions."""
    rank: int = 8
    """Length of the latent vectors whose products are the interactions."""
    pairs: int = 10
    """Pairs of fields that interact."""
    tail_exponent: float = 1.2
    """Zipf exponent of the fields of over 1,000 values."""
    fade: float = 1.0
    """Effects of a field's r-th most frequent value fall as (1 + r / 100) to the power of minus this."""
    drift: float = 0.3
    """How much the teacher's field weights move over the seven days, as a share of themselves."""

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise UserError(f"--rows {self.rows}: must be 1 or more")


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
        self._field_weights = np.exp(0.5 * generator.standard_normal(CATEGORICALS))
        self._field_phases = generator.uniform(0, 2 * np.pi, CATEGORICALS)
        self._main = generator.standard_normal((CATEGORICALS, _EFFECTS), dtype=np.float32)
        self._latent = generator.standard_normal((CATEGORICALS, _EFFECTS, config.rank), dtype=np.float32)
        self._dense = generator.standard_normal((INTEGERS, 4))
        every = [(i, j) for i in range(CATEGORICALS) for j in range(i)]
        self._pairs = [every[k] for k in generator.permutation(len(every))[: config.pairs]]
        self._crossed = generator.integers(0, [INTEGERS, CATEGORICALS], (6, 2))

    def chunks(self, start: int = 0) -> Iterator[SyntheticChunk]:
        """Yield the log in time order, from chunk number ``start`` on, at most ``CHUNK_ROWS`` rows each."""
        rows = self.config.rows
        for index in range(start, -(-rows // CHUNK_ROWS)):
            first = index * CHUNK_ROWS
            yield self._chunk(index, first, min(CHUNK_ROWS, rows - first))

    def _chunk(self, index: int, first: int, size: int) -> SyntheticChunk:
        generator = numpy_generator(self.config.seed, "rows", index)
        time = (first + np.arange(size)) / self.config.rows * DAYS
        ranks, logs, missing = self._draw(generator, time)
        probabilities = self._probabilities(ranks, logs, missing, time)
        labels = (generator.random(size) < probabilities).astype(np.uint8)
        integers = np.where(missing, -1, np.minimum(np.expm1(logs), 2**31 - 1)).astype(np.int32)
        values = np.where((ranks == _MISSING_RANK) & (self.cardinalities > 1000), 0, _hashed(ranks))
        return SyntheticChunk(labels, integers, values.astype(np.uint32), probabilities)

    def _draw(self, generator: np.random.Generator, time: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return value ranks int64 [B, 26], log counts [B, 13] and their missing mask [B, 13]."""
        size = len(time)
        ranks = np.empty((size, CATEGORICALS), np.int64)
        for field, count in enumerate(self.cardinalities):
            exponent = 1.2 if count <= 1000 else self.config.tail_exponent
            ranks[:, field] = _zipf(generator.random(size), int(count), exponent)
            if count > 1000:  # new values keep arriving: a tenth of the field is replaced each day
                fresh = (ranks[:, field] >= 100) & (generator.random(size) < 0.5)
                ranks[fresh, field] = (
                    ranks[fresh, field] + (time[fresh] * count / 10).astype(np.int64)
                ) % count
        logs = np.log1p(
            np.floor(np.exp(_LOG_MEAN + _LOG_DEVIATION * generator.standard_normal((size, INTEGERS))))
        )
        return ranks, logs, generator.random((size, INTEGERS)) < _MISSING

    def _parts(
        self, ranks: np.ndarray, logs: np.ndarray, missing: np.ndarray, time: np.ndarray
    ) -> np.ndarray:
        """Return the unscaled main, dense and interaction parts of the logit, [B, 3]."""
        day_weights = 1 + self.config.drift * np.sin(
            2 * np.pi * time[:, None] / (2 * DAYS) + self._field_phases
        )
        standard = np.where(missing, 0, (logs - _LOG_MEAN) / _LOG_DEVIATION)
        main, latents = np.zeros(len(time)), []
        for field in range(CATEGORICALS):
            rank = ranks[:, field]
            slot = _mix(rank.astype(np.uint64), field) % np.uint64(_EFFECTS)
            faded = (1 + rank / 100) ** -self.config.fade
            main += self._field_weights[field] * day_weights[:, field] * faded * self._main[field, slot]
            latents.append(faded[:, None] * self._latent[field, slot])
        slope, wave, phase, absent = self._dense.T
        dense = slope * standard + 0.7 * wave * np.sin(2 * standard + phase)
        dense = np.where(missing, absent, dense).sum(1)
        pairs = sum((latents[i] * latents[j]).sum(1) for i, j in self._pairs)
        crossed = sum(2 * latents[f][:, 0] * standard[:, i] for i, f in self._crossed)
        return np.stack([main, dense, pairs + crossed], axis=1)

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Return means and weights of the three parts and the bias that gives the click rate."""
        config, generator = self.config, numpy_generator(self.config.teacher_seed, "calibration")
        time = np.linspace(0, DAYS, _CALIBRATION_ROWS, endpoint=False)
        parts = self._parts(*self._draw(generator, time), time)
        shares = np.array([config.main_share, config.dense_share, 1 - config.main_share - config.dense_share])
        weights = config.logit_deviation * np.sqrt(shares) / parts.std(0)
        logits = (parts - parts.mean(0)) @ weights
        low, high = -20.0, 20.0
        for _ in range(60):  # the click rate grows with the bias, so bisection finds it
            middle = (low + high) / 2
            low, high = (
                (middle, high) if _sigmoid(logits + middle).mean() < config.click_rate else (low, middle)
            )
        return parts.mean(0), weights, low

    def _probabilities(self, *draw: np.ndarray) -> np.ndarray:
        mean, weights, bias = self._scale
        return _sigmoid((self._parts(*draw) - mean) @ weights + bias)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _zipf(uniform: np.ndarray, count: int, exponent: float) -> np.ndarray:
    """Map uniform numbers to ranks 0..count-1 with P(rank) close to (rank + 1)^-exponent, by the continuous inverse."""
    tail = 1 - exponent
    return np.minimum(((uniform * ((count + 1.0) ** tail - 1)) + 1) ** (1 / tail) - 1, count - 1).astype(
        np.int64
    )


def _mix(values: np.ndarray, salt: int) -> np.ndarray:
    """Hash uint64 values (the finaliser of SplitMix64, Steele et al. 2014)."""
    mixed = values + np.uint64((salt * 0x9E3779B97F4A7C15) % (1 << 64))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _hashed(ranks: np.ndarray) -> np.ndarray:
    """Return the 32-bit values that stand for ranks in the log, as Criteo's hashes hide the original ones."""
    fields = [_mix(ranks[:, f].astype(np.uint64), 1000 + f) >> np.uint64(32) for f in range(CATEGORICALS)]
    return np.stack(fields, axis=1)
