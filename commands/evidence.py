"""Files that customers show, by what is in them: kept once, sealed, never overwritten.

They lie in a directory or on an object store (any URL that fsspec knows), named by the SHA-256 of
their content, which events carry. Blocking: the API asks from a thread.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable

import fsspec

from commands.keys import RecordCipher
from commands.settings import Settings

COLUMN = "evidence.content"  # of the cipher: what else is sealed with its key opens nothing here
FILE_BYTES_MAX = 10 << 20

# Media type -> (offset, beginning); what a file says it is has to be seen in it.
_SIGNATURES: tuple[tuple[str, int, bytes], ...] = (
    ("image/jpeg", 0, b"\xff\xd8\xff"),
    ("image/png", 0, b"\x89PNG\r\n\x1a\n"),
    ("image/webp", 8, b"WEBP"),
    ("image/heic", 4, b"ftypheic"),
    ("image/heic", 4, b"ftypmif1"),
    ("application/pdf", 0, b"%PDF-"),
    ("video/mp4", 4, b"ftyp"),
)
MEDIA_TYPES = tuple(dict.fromkeys(kind for kind, _, _ in _SIGNATURES))


def media_type(content: bytes) -> str | None:
    """By its first bytes; None for what is not taken."""
    for kind, offset, signature in _SIGNATURES:
        if content.startswith(signature, offset):
            return kind
    return None


class EvidenceStore:
    def __init__(self, settings: Settings) -> None:
        """`settings.evidence_path`: a directory, or a URL such as s3://bucket/evidence."""
        self._files, self._root = fsspec.core.url_to_fs(settings.evidence_path)
        self._cipher = RecordCipher(settings.name, settings.record_key())

    def keep(self, content: bytes) -> str:
        """The SHA-256 of the content, as hex. What is there already stays as it is."""
        digest = hashlib.sha256(content).hexdigest()
        path = self._path(digest)
        if not self._files.exists(path):
            self._write(path, self._cipher.seal(COLUMN, digest, content))
        return digest

    def _write(self, path: str, sealed: bytes) -> None:
        """Under another name first: a file with its own name is whole."""
        folder = path.rpartition("/")[0]
        arriving = f"{folder}/.{uuid.uuid4().hex}"
        self._files.makedirs(folder, exist_ok=True)
        with self._files.open(arriving, "wb") as file:
            file.write(sealed)
            if hasattr(file, "fileno"):  # A local one: it shall survive a power cut.
                file.flush()
                os.fsync(file.fileno())
        self._files.mv(arriving, path)

    def read(self, digest: str) -> bytes | None:
        """The content. Raises ValueError when it was changed, or sealed by another master key."""
        try:
            sealed: bytes = self._files.cat_file(self._path(digest))
        except FileNotFoundError:
            return None
        return self._cipher.open(COLUMN, digest, sealed)

    def unknown(self, digests: Iterable[str]) -> set[str]:
        """Those that nothing was kept under."""
        return {digest for digest in digests if not self._files.exists(self._path(digest))}

    def _path(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}"
