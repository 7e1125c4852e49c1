"""What importing the package costs and offers."""

import subprocess
import sys
import textwrap

import recsys_bnn


def run(code: str) -> str:
    """Return what a fresh interpreter prints."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_package_imports_nothing_heavy_and_reading_data_needs_no_torch() -> None:
    printed = run("""
        import sys
        def heavy(): return sorted({"torch", "numba", "pyarrow", "numpy", "sklearn", "matplotlib"} & set(sys.modules))
        import recsys_bnn; print(heavy())
        from recsys_bnn import PrepareConfig; print(heavy())
        from recsys_bnn import open_dataset; print(heavy())
        import recsys_bnn.prepare; print("torch" in sys.modules)
    """)
    assert printed.splitlines() == ["[]", "[]", "['numpy', 'pyarrow']", "False"]


def test_every_name_that_is_offered_is_there() -> None:
    assert set(recsys_bnn._EXPORTS) <= set(dir(recsys_bnn))
    printed = run("""
        import importlib.util, recsys_bnn
        for name, module in recsys_bnn._EXPORTS.items():
            if not module.startswith("recsys_bnn.model") or importlib.util.find_spec("torch"):
                print(getattr(recsys_bnn, name).__module__ == module, recsys_bnn.__dict__.keys() >= {name})
    """)
    assert set(printed.splitlines()) == {"True True"}
    assert not hasattr(recsys_bnn, "no_such_name")
