"""What a layout draws from: fonts, a language and the user's pictures of one split."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from doc_detect.synthesis.art import photographs
from doc_detect.synthesis.art.ornament import cutting, drawn, foliage, peopled
from doc_detect.synthesis.art.pictographs import Pictograph, pictograph
from doc_detect.synthesis.art.render import STYLES
from doc_detect.synthesis.art.shapes import Scene, Shape, any_scene
from doc_detect.synthesis.fonts import FontBook
from doc_detect.synthesis.words import Writer

Generator = np.random.Generator


@dataclass(frozen=True)
class Materials:
    """Fonts and pictures that a page may use."""

    fonts: FontBook
    pictures: tuple[Path, ...] = field(default=())
    """The user's own pictures of this split."""
    pictographs: tuple[Pictograph, ...] = field(default=())
    """Figures out of fonts, of this split."""

    def writer(self, generator: Generator, *languages: str) -> Writer:
        """Return a writer in one of the languages."""
        return Writer(generator, languages[generator.integers(len(languages))])

    def face(
        self, generator: Generator, *styles: str, bold: bool | None = None, figures: bool = False
    ) -> str:
        """Return the path of a font in one of the styles, with ``figures`` of one that has the figures 0 to 9."""
        return self.fonts.choose(generator, *styles, bold=bold, figures=figures).path

    def picture(self, height: float, width: float, generator: Generator, *styles: str) -> np.ndarray:
        """Return a picture [H, W, 3]: one of the user's half of the time, else a drawn scene in one of the styles."""
        height, width = max(12, round(height)), max(12, round(width))
        mine = self._mine(height, width, generator)
        if mine is not None:
            return mine
        style = styles[generator.integers(len(styles))]
        return STYLES[style](self.scene(width / height, generator), height, width, generator)

    def photograph(
        self, height: float, width: float, generator: Generator, stock: photographs.Stock = photographs.ANY
    ) -> np.ndarray:
        """Return a photograph [H, W, 3]: the user's half of the time, else of a drawn subject or a work of art."""
        height, width = max(12, round(height)), max(12, round(width))
        mine = self._mine(height, width, generator)
        if mine is not None:
            return mine
        if stock.names or generator.random() < 0.85:
            return photographs.photograph(height, width, generator, stock)
        small = (min(height, 240), max(12, round(width * min(height, 240) / height)))
        style = ("painting", "painting", "engraving", "woodcut")[int(generator.integers(4))]
        work = STYLES[style](self.scene(width / height, generator), *small, generator)
        return photographs.develop(work.astype(np.float32) / 255, height, width, generator, stock.process)

    def _mine(self, height: int, width: int, generator: Generator) -> np.ndarray | None:
        """Return one of the user's pictures half of the time, if there are any."""
        if not self.pictures or generator.random() >= 0.5:
            return None
        return _load(self.pictures[generator.integers(len(self.pictures))], height, width)

    def scene(self, aspect: float, generator: Generator) -> Scene:
        """Return a scene of drawn things and of figures out of fonts."""
        return any_scene(aspect, generator, (self._figure,) if self.pictographs else ())

    def _figure(self, x: float, base: float, height: float, generator: Generator) -> list[Shape]:
        chosen = self.pictographs[int(generator.integers(len(self.pictographs)))]
        return pictograph(chosen, x, base, height, generator)

    def leafwork(self, height: int, width: int, generator: Generator) -> np.ndarray:
        """Return a field of ornament [H, W]: foliage, with figures or without, or a cutting of fonts of initials."""
        if self.pictographs and generator.random() < 0.3:
            chosen = generator.integers(len(self.pictographs), size=int(generator.integers(1, 5)))
            signs = [self.pictographs[int(i)] for i in chosen]
            return peopled(height, width, generator, [drawn(sign.path, sign.sign) for sign in signs])
        faces = self.fonts.faces("initials")
        if faces and generator.random() < 0.4:
            face = faces[int(generator.integers(len(faces)))].path
            field = cutting(height, width, generator, face)
            if field is not None:
                return field
        return foliage(height, width, generator)


def _load(path: Path, height: int, width: int) -> np.ndarray | None:
    """Read a picture and cut it to the aspect wanted; None if it can't be read."""
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return None
    scale = max(height / pixels.shape[0], width / pixels.shape[1])
    size = (max(width, round(pixels.shape[1] * scale)), max(height, round(pixels.shape[0] * scale)))
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    y, x = (size[1] - height) // 2, (size[0] - width) // 2
    return np.ascontiguousarray(pixels[y : y + height, x : x + width, ::-1])
