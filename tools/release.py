"""Build the wheel and the source distribution into dist/, and try the wheel in an environment of its own.

`make release`. The exit status is not 0 if something could not be built, or if the installed command does not start.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILDER = ROOT / ".venv" / "bin" / "python"


def main() -> int:
    """Build, install, run."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    print("building dist/", flush=True)
    # Without isolation the build uses the locked setuptools, so that a release is made of known parts only.
    _run([BUILDER, "-m", "build", "--no-isolation", "--outdir", dist, ROOT])
    wheel = next(dist.glob("*.whl"))
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        print("installing the wheel in a new environment (about half a minute)", flush=True)
        _run([sys.executable, "-m", "venv", folder])
        _run([python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", ROOT / "requirements.lock"])
        _run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel])
        _run([python.parent / "lacnode", "--version"], cwd=Path(folder))
    print("\n".join(str(path.relative_to(ROOT)) for path in sorted(dist.iterdir())))
    return 0


def _run(command: list[object], cwd: Path = ROOT) -> None:
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
