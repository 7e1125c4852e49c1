"""The `seminar` command line: a table from command to settings and function."""

from seminar_common.cli import Command
from seminar_common.cli import main as run
from seminar_common.demos import DemoSettings
from seminar_common.doctor import DoctorSettings
from seminar_common.report import ReportSettings

COMMANDS = {
    "demo": Command(
        DemoSettings,
        "seminar_common.demos:main",
        examples=("", "--threads 1 --out runs/first-look"),
        inputs=("data",),
        new=("out",),
        marks={"out": {"demo.json": ("seminar demo",)}},
    ),
    "report": Command(
        ReportSettings,
        "seminar_common.report:main",
        examples=(
            "--runs runs/float runs/binary --out report.html",
            "--runs runs/study --out report.pdf --author 'A. Student' --text words.md",
        ),
        inputs=("runs", "text"),
    ),
    "doctor": Command(
        DoctorSettings, "seminar_common.doctor:main", examples=("", "--data data"), inputs=("data",)
    ),
}


def main() -> None:
    """Run the command that the arguments name."""
    about = "Deep learning with little hardware and few labels: what all topics share."
    run("seminar", about, COMMANDS, distribution="seminar-common")


if __name__ == "__main__":
    main()
