"""Settings of `recommend`. Imports nothing heavy, so that ``--help`` is quick."""

from dataclasses import dataclass
from pathlib import Path

from seminar_common.errors import UserError


@dataclass(frozen=True)
class RecommendSettings:
    """Print the films that a MovieLens user would like most, by a packed model that was trained on MovieLens."""

    model: Path
    """Packed model, as `recsys-bnn pack` writes it."""
    movielens: Path
    """Folder of the data set, with its ratings, films and users, or the file of ratings in it."""
    user: int | None = None
    """Number of a user of the data set; films that this user has rated are left out."""
    rated: tuple[str, ...] = ()
    """Ratings of someone else, from 0 to 5, as "TITLE=RATING". Users of the data set who would rate alike speak for them."""
    top: int = 10
    """Films to print."""
    json: bool = False
    """Print JSON in place of a table."""
    engine: str = "auto"
    """Engine that runs the model; `auto` takes the fastest that this machine has."""

    def __post_init__(self) -> None:
        if (self.user is None) == (not self.rated):
            raise UserError(
                "--user, --rated: give one of them: a user of the data set, or ratings of someone else"
            )
        if self.top < 1:
            raise UserError(f"--top {self.top}: must be 1 or more")
