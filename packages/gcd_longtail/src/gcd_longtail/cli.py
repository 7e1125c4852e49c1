"""The `gcd-longtail` command line: a table from command to settings and function."""

from gcd_longtail.config import FeaturesSettings, SplitSettings
from seminar_common.cli import Command
from seminar_common.cli import main as run

COMMANDS = {
    "split": Command(SplitSettings, "gcd_longtail.split:split"),
    "features": Command(FeaturesSettings, "gcd_longtail.features:features"),
}


def main() -> None:
    """Run the command that the arguments name."""
    run("gcd-longtail", "Generalized category discovery on long-tailed data.", COMMANDS)


if __name__ == "__main__":
    main()
