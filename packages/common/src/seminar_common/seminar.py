"""The `seminar` command line: a table from command to settings and function."""

from seminar_common.cli import Command
from seminar_common.cli import main as run
from seminar_common.demos import DemoSettings
from seminar_common.doctor import DoctorSettings
from seminar_common.report import ReportSettings

COMMANDS = {
    "demo": Command(DemoSettings, "seminar_common.demos:main"),
    "report": Command(ReportSettings, "seminar_common.report:main"),
    "doctor": Command(DoctorSettings, "seminar_common.doctor:main"),
}


def main() -> None:
    """Run the command that the arguments name."""
    run("seminar", "Deep learning with little hardware and few labels: what all topics share.", COMMANDS)


if __name__ == "__main__":
    main()
