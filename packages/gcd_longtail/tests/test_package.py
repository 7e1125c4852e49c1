import subprocess
import sys

import gcd_longtail


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, gcd_longtail; assert 'make_method' in dir(gcd_longtail); "
        "print(*{'torch', 'numpy', 'sklearn', 'PIL', 'tyro'} & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_every_name_of_the_package_is_there() -> None:
    assert all(getattr(gcd_longtail, name).__name__ == name for name in gcd_longtail._EXPORTS)
