"""A package installed from a wheel works without the checkout."""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).parent.parent
BUILD = """
import sys
from setuptools import build_meta
[built] = sys.argv[1:]
build_meta.build_sdist(built)
build_meta.build_wheel(built)
"""


def python(*arguments, cwd, status=0, **environment):
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == status, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_wheel_and_sdist_are_whole_and_work_elsewhere(tmp_path):
    # A copy, because building leaves files behind.
    source, built, away = tmp_path / "source", tmp_path / "built", tmp_path / "away"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "results", "*.egg-info")
    shutil.copytree(ROOT, source, ignore=ignored)
    parts = {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    away.mkdir()
    python("-c", BUILD, str(built), cwd=source)
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert held >= parts | {"LICENSE", "README.md", "requirements.txt", "Makefile"}

    shutil.unpack_archive(wheel, away, "zip")
    # No other top-level package, because another installed package may be called experiments too.
    (information,) = away.glob("*.dist-info")
    assert {path.name for path in away.iterdir()} == {"ticketjax", information.name}
    ours = {p.relative_to(ROOT).as_posix() for p in (ROOT / "ticketjax").rglob("*.py")}
    assert {p.relative_to(away).as_posix() for p in away.rglob("*.py")} == ours
    assert (away / "ticketjax/py.typed").exists()
    assert (away / "ticketjax/tuning/settings.json").exists()
    assert list(away.glob("*.dist-info/licenses/LICENSE"))
    where = {"cwd": tmp_path, "PYTHONPATH": str(away)}
    script = "import ticketjax; print(ticketjax.__file__)"
    assert python("-c", script, **where).strip() == str(away / "ticketjax" / "__init__.py")
    # The command, started by its entry point.
    entry = "console_scripts", "ticketjax = ticketjax.commands.main:main"
    assert all(line in (information / "entry_points.txt").read_text() for line in entry)
    start = "import sys; from ticketjax.commands.main import main; sys.exit(main())"
    assert "  singleshot " in python("-c", start, "--help", **where)
    refused = python("-c", start, "singleshot", "--task=cirle", status=2, **where)
    assert "did you mean 'circle'" in refused
