"""How much memory and disk there is for a run, as the system that would refuse them sees it."""

import shutil
from pathlib import Path

import psutil

NO_LIMIT = 2**60  # what version 1 of the control groups writes where nothing is limited is above it

# Version of the control groups -> files of limit and use, and the line of memory.stat that can be given back.
FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def free_memory(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> tuple[int, str]:
    """Bytes that new processes can take, and who sets the bound: the machine, or the container or job we are in."""
    free, whose = int(psutil.virtual_memory().available), "on this machine"
    for version, place in _groups(root, own):
        limit_file, use_file, spare = FILES[version]
        try:
            limit = int((place / limit_file).read_text())
            use = int((place / use_file).read_text())
            stat = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no limit says "max"
            continue
        left = max(0, limit - use + int(stat.get(spare, 0)))
        if limit < NO_LIMIT and left < free:
            free, whose = left, f"of the {limit / 2**30:.1f} GiB of this container or job"
    return free, whose


def _groups(root: Path, own: Path) -> list[tuple[int, Path]]:
    """The folders of the control groups that this process is in, with those around them."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        version, top = (1, root / "memory") if controllers else (2, root)
        # Inside a container the path may be that of the host, and only the top is there.
        inner = [top.joinpath(*Path(path).parts[1:end]) for end in range(len(Path(path).parts), 1, -1)]
        found += [(version, place) for place in (*inner, top) if place.is_dir()]
    return found


def free_disk(folder: Path) -> int:
    """Bytes that a run in this folder may fill: what is free where it lies or will lie, and what it holds already."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    held = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    return shutil.disk_usage(place).free + held
