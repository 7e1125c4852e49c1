from pathlib import Path

import pytest

from seminar_common.memory import available_bytes

MEMINFO = "MemTotal: 9000 kB\nMemAvailable:    4000 kB\n"


def system(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def group(path: str, limit: str, names: tuple[str, str]) -> dict[str, str]:
    values = {names[0]: f"{limit}\n", names[1]: "1000\n", "memory.stat": "anon 5\ninactive_file 300\n"}
    return {f"sys/fs/cgroup/{path}/{name}": text for name, text in values.items()}


def test_this_machine_has_some() -> None:
    found = available_bytes()
    assert found is None or found > 1 << 20


@pytest.mark.parametrize(
    ("line", "path", "names"),
    [
        ("0::/a/b", "a", ("memory.max", "memory.current")),
        ("4:memory:/a/b", "memory/a/b", ("memory.limit_in_bytes", "memory.usage_in_bytes")),
    ],
)
def test_a_control_group_may_leave_less_than_the_machine(
    tmp_path: Path, line: str, path: str, names: tuple[str, str]
) -> None:
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": f"3:cpuset:/\n{line}\n"}
    assert available_bytes(system(tmp_path, files)) == 4000 * 1024
    assert available_bytes(system(tmp_path, group(path, "max", names))) == 4000 * 1024
    assert available_bytes(system(tmp_path, group(path, "50000", names))) == 50_000 - 1000 + 300
    assert available_bytes(system(tmp_path, group(path, "9" * 18, names))) == 4000 * 1024


def test_a_system_that_does_not_say_has_no_figure(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) is None
