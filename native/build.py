"""Build the native library and put it beside the packages of the Python that runs this: `python native/build.py`.

Needs cargo, and the crates that `native/Cargo.lock` names. With `--optional`, anything that fails is one line on standard
output and status 0: the node works without the library.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = {"linux": "liblacnode_native.so", "darwin": "liblacnode_native.dylib"}


class BuildError(Exception):
    """The library cannot be built here; the text says why."""


def build(cargo_output: int | None) -> Path:
    """Compile; the path of the library."""
    name = NAMES.get(sys.platform)
    if name is None:
        raise BuildError(f"the native library is not built on {sys.platform}")
    cargo = shutil.which("cargo")
    if cargo is None:
        raise BuildError("there is no cargo; install a Rust toolchain and call `make native`")
    environment = {**os.environ, "PYO3_BUILD_EXTENSION_MODULE": "1", "PYO3_PYTHON": sys.executable}
    target = Path(environment.setdefault("CARGO_TARGET_DIR", str(HERE / "target")))
    if sys.platform == "darwin":
        environment["RUSTFLAGS"] = "-C link-arg=-undefined -C link-arg=dynamic_lookup"
    command = [cargo, "build", "--release", "--locked", "--lib", "--manifest-path", str(HERE / "Cargo.toml")]
    ended = subprocess.run(command, env=environment, stdout=cargo_output, stderr=cargo_output)
    if ended.returncode:
        raise BuildError(f"cargo ended with status {ended.returncode}; `make native` shows why")
    return target / "release" / name


def install(library: Path) -> Path:
    """Put `library` where this Python finds it. A process that has the old one loaded keeps it."""
    place = Path(sysconfig.get_path("platlib")) / "lacnode_native.abi3.so"
    fresh = place.with_name(f"{place.name}.{os.getpid()}")
    shutil.copyfile(library, fresh)
    fresh.replace(place)
    return place


def main(arguments: list[str]) -> int:
    is_optional = arguments == ["--optional"]
    try:
        place = install(build(subprocess.DEVNULL if is_optional else None))
    except (BuildError, OSError) as error:
        print(f"without the native engine: {error}")
        return 0 if is_optional else 1
    print(f"the native engine is in {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
