"""Files of pictures: in a folder, or members of a zip archive that stays packed."""

import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

MOST_BYTES = 2**26
"""A larger member of an archive is no picture."""

_LOCAL_HEADER = 30  # bytes, whose last four say how long name and extra field behind it are


class ZipMember(NamedTuple):
    """A file in a zip archive, by its place there, so that any process or thread can read it.

    Attributes:
        archive: path of the archive.
        name: of the member.
        offset: of its local header.
        packed: its bytes in the archive.
        size: its bytes.
        crc: checksum of its bytes.
        is_deflated: whether it is compressed.
    """

    archive: str
    name: str
    offset: int
    packed: int
    size: int
    crc: int
    is_deflated: bool

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}"

    def read(self) -> bytes:
        """The content.

        Raises:
            ValueError: the archive is damaged, or has changed since it was listed.
            OSError: the archive cannot be read.
        """
        with Path(self.archive).open("rb") as file:
            file.seek(self.offset)
            header = file.read(_LOCAL_HEADER)
            if len(header) == _LOCAL_HEADER:
                file.seek(sum(struct.unpack("<HH", header[-4:])), os.SEEK_CUR)
            content = file.read(self.packed)
        try:
            if self.is_deflated:
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, self.size)
        except zlib.error as error:
            raise ValueError(f"{self}: expected a member that can be unpacked: {error}") from error
        if zlib.crc32(content) != self.crc:
            raise ValueError(f"{self}: expected content that matches the archive's checksum, got another")
        return content


PictureFile = str | ZipMember
"""Place of a picture: a path, or a member of an archive."""


def list_pictures(root: Path, folder: str, suffix: str = ".jpg") -> dict[str, PictureFile]:
    """The pictures in a folder or archive, by name, sorted by the characters' code points: alike on any machine.

    Args:
        root: a folder or a zip archive.
        folder: folder in it that holds the pictures; if there is none, they lie in the root itself.
        suffix: of their names; other files are left aside.

    Raises:
        FileNotFoundError: no such folder or archive.
        ValueError: an archive that is damaged, encrypted, or packed by an unusual method.
    """
    if root.is_dir():
        with os.scandir(root / folder if (root / folder).is_dir() else root) as entries:
            found: dict[str, PictureFile] = {entry.name: entry.path for entry in entries if entry.is_file()}
    elif root.is_file():
        packed = [(*member.name.rpartition("/")[::2], member) for member in _members(root)]
        place = folder if any(parent == folder for parent, _, _ in packed) else ""
        found = {name: member for parent, name, member in packed if parent == place}
    else:
        raise FileNotFoundError(f"root: expected a folder of pictures or a zip archive of it, found nothing at {root}")
    return {name: found[name] for name in sorted(found) if name.endswith(suffix)}


def _members(archive: Path) -> Iterator[ZipMember]:
    methods = {zipfile.ZIP_STORED: False, zipfile.ZIP_DEFLATED: True}
    try:
        with zipfile.ZipFile(archive) as opened:
            infos = [info for info in opened.infolist() if not info.is_dir()]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{archive}: expected a zip archive, got a damaged or another file: {error}") from error
    for info in infos:
        if info.flag_bits & 1 or info.compress_type not in methods or info.file_size > MOST_BYTES:
            raise ValueError(
                f"{archive}: expected pictures of at most {MOST_BYTES} bytes, stored or deflated without a password, "
                f"got another member {info.filename!r}"
            )
        yield ZipMember(
            str(archive),
            info.filename,
            info.header_offset,
            info.compress_size,
            info.file_size,
            info.CRC,
            methods[info.compress_type],
        )


def file_size(file: PictureFile) -> int:
    """Bytes of a picture's file.

    Raises:
        OSError: it cannot be found.
    """
    return file.size if isinstance(file, ZipMember) else os.stat(file).st_size  # noqa: PTH116  twice as fast


def fingerprint(files: Sequence[PictureFile], names: Sequence[str], settings: str) -> str:
    """Digest that changes when pictures come, go or change, without reading them.

    A member of an archive counts by its checksum, a file by its size and the time of its last change.

    Args:
        files: the pictures.
        names: of the pictures, such as paths below a root, so that the place of the root does not matter.
        settings: whatever else decides what is made of them.

    Raises:
        OSError: a file cannot be found.
    """
    digest = hashlib.sha256(settings.encode())
    for file, name in zip(files, names, strict=True):
        if isinstance(file, ZipMember):
            stamp = f"{file.size} {file.crc}"
        else:
            status = os.stat(file)  # noqa: PTH116  tens of thousands: a Path for each would take longer than this
            stamp = f"{status.st_size} {status.st_mtime_ns}"
        digest.update(f"\n{len(name)} {name} {stamp}".encode())
    return digest.hexdigest()
