"""Where on a scan its page is: wide margins of one tone are looked at by nobody and cost the page its pixels.

A small book on a film of large ones fills a third of the picture. Reduced to the size that a detector looks at, its
type becomes a grey texture that resembles an engraving. So what is uniform around the page is cut off first.
"""

from typing import TYPE_CHECKING

from seminar_common.images import shrink

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

Window = tuple[float, float, float, float]
"""x1, y1, x2, y2 of a part of a picture, in its pixels."""

_LONGEST = 256
"""The search is made on a picture of this longest side: finer dirt than that averages out."""
_TOLERANCE = 0.12
"""Share of the picture's contrast by which a pixel may differ from the middle of its line: grain of film and paper."""
_FLAT = 0.035
"""The same for a margin of another tone than the outermost, as white film inside a black border is."""
_EMPTY = 0.985
"""Share of a line's pixels within the tolerance above which nothing stands on it: specks do not count."""
_PADDING = 0.02
"""Margin that is left around what was found, as a share of the longest side."""
_SMALLEST = 0.35
"""Smallest longest side of a window, as a share of the picture's: a lone ornament is not blown up further."""
_WORTHWHILE = 0.94
"""Windows whose longest side is a larger share of the picture's are not worth a cut."""


def content_window(pixels: "np.ndarray") -> Window:
    """Return the part of a picture, uint8 [h, w, 3], that its uniform margins enclose; all of it if they are narrow.

    A line belongs to a margin if nearly all its pixels have one tone; three lines in a row that don't are the page.
    Rows and columns take turns three times, for a margin beside a page is uniform only once those above are gone.
    """
    import cv2
    import numpy as np

    height, width = pixels.shape[:2]
    scale = min(1.0, _LONGEST / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    grey = cv2.cvtColor(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    top, bottom, left, right = 0, size[1], 0, size[0]
    tones = np.sort(grey, axis=None, kind="stable")
    contrast = float(tones[round(0.995 * (tones.size - 1))]) - float(tones[round(0.005 * (tones.size - 1))])
    above, beside = _outermost(grey), _outermost(grey.T)
    for _ in range(3):
        top, bottom = _span(grey[top:bottom, left:right], top, above, contrast)
        left, right = _span(grey[top:bottom, left:right].T, left, beside, contrast)
    x = _padded(left, right, max(size), size[0])
    y = _padded(top, bottom, max(size), size[1])
    if max(x[1] - x[0], y[1] - y[0]) > _WORTHWHILE * max(size):
        return 0, 0, width, height
    fx, fy = width / size[0], height / size[1]
    return x[0] * fx, y[0] * fy, x[1] * fx, y[1] * fy


def _outermost(grey: "np.ndarray") -> tuple[float, float]:
    """Return the tone of the first and of the last row."""
    import numpy as np

    return float(np.median(grey[0])), float(np.median(grey[-1]))


def _span(grey: "np.ndarray", start: int, margins: tuple[float, float], contrast: float) -> tuple[int, int]:
    """Return from where to where the rows of ``grey`` have content, counted from ``start``; all rows if none has.

    Small type reduced this far can be as even as a margin, but has not the tone of the margins before and after it.
    So a line of another tone than those belongs to a margin only if it is more even than type ever is.
    """
    import numpy as np

    middle = _medians(grey)
    distance = np.abs(grey.astype(np.int16) - middle[:, None])
    even, flat = ((distance <= share * contrast).mean(axis=1) >= _EMPTY for share in (_TOLERANCE, _FLAT))
    runs = []
    for margin in margins:
        full = ~(flat | even & (np.abs(middle - margin) <= _TOLERANCE * contrast))
        runs.append(np.flatnonzero(full[:-2] & full[1:-1] & full[2:]))
    if not len(runs[0]) or not len(runs[1]):
        return start, start + len(grey)
    return start + int(runs[0][0]), start + int(runs[1][-1]) + 3


def _medians(lines: "np.ndarray") -> "np.ndarray":
    """Return the median of each row of ``lines``, uint8 [R, N], as float64 [R]."""
    import numpy as np

    # A stable sort of bytes counts them: a fifth of the time of np.median, and this is half of finding the margins.
    ordered, count = np.sort(lines, axis=1, kind="stable"), lines.shape[1]
    return (ordered[:, (count - 1) // 2].astype(np.float64) + ordered[:, count // 2]) / 2


def _padded(low: int, high: int, longest: int, most: int) -> tuple[float, float]:
    """Widen a span by the padding, and to the smallest window's side, within 0 and ``most``."""
    wanted = min(most, max(high - low + 2 * _PADDING * longest, _SMALLEST * longest))
    start = min(max(0.0, (low + high - wanted) / 2), most - wanted)
    return start, start + wanted


def look_closer(
    make: "Callable[[int], np.ndarray]", longest: int
) -> "tuple[np.ndarray, tuple[float, float, float, float]]":
    """Make a picture of a page, and once more if its margins are wide: so much larger that its content fills it.

    Args:
        make: Returns the whole page, uint8 [h, w, 3], with a longest side of at most so many pixels.
        longest: Longest side of the result.

    Returns:
        The content, and where it is: x1, y1, x2, y2 in fractions of the page.
    """
    pixels = make(longest)
    x1, y1, x2, y2 = content_window(pixels)
    larger = round(longest * max(pixels.shape[:2]) / max(x2 - x1, y2 - y1))
    if larger == longest:
        return pixels, (0.0, 0.0, 1.0, 1.0)
    whole = make(larger)
    if whole.shape != pixels.shape:
        x1, y1, x2, y2 = content_window(whole)
    x1, y1, x2, y2 = round(x1), round(y1), round(x2), round(y2)
    height, width = whole.shape[:2]
    return shrink(whole[y1:y2, x1:x2], longest), (x1 / width, y1 / height, x2 / width, y2 / height)
