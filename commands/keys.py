"""The vault: one key per person, wrapped by the master key; and the cipher of kept records."""

from __future__ import annotations

import base64
import os
from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.message import Sealed

KEYS_CACHED_MAX = 100_000
NONCE_BYTES = 12

SOME_KEY = """SELECT person, version, wrapped FROM ledger_person_key
WHERE wrapped IS NOT NULL LIMIT 1"""
SELECT_KEYS = "SELECT person, version, wrapped FROM ledger_person_key WHERE person = ANY(%s)"


class ForeignKey(Exception):
    """LEDGER_MASTER_KEY is not the one that the keys of this ledger are wrapped with."""


class Vault:
    """Seals and opens with the keys it holds. Who uses it loads the keys first: `unknown`, then
    `SELECT_KEYS`, then `learn`. A person without a key gets one when something is sealed; the new
    key is stored by the append that stores the sealed value (`minted`).
    """

    def __init__(self, ledger: str, master_key: bytes) -> None:
        self._ledger = ledger
        self._master = AESGCM(master_key)
        # person -> (newest version, version -> cipher; None where the key was destroyed)
        self._keys: OrderedDict[str, dict[int, AESGCM | None]] = OrderedDict()
        self._minted: dict[str, tuple[int, bytes]] = {}

    def check(self, rows: Iterable[tuple[str, int, bytes]]) -> None:
        """Take rows of SOME_KEY. Raises ForeignKey: what would be sealed here, nobody else could
        read.
        """
        for row in rows:
            try:
                self._unwrap(*row)
            except ValueError:
                raise ForeignKey("LEDGER_MASTER_KEY is not the key of this ledger") from None

    def unknown(self, persons: Iterable[str]) -> list[str]:
        return [person for person in set(persons) if person not in self._keys]

    def learn(self, rows: Iterable[tuple[str, int, bytes | None]]) -> None:
        """Take rows of SELECT_KEYS."""
        for person, version, wrapped in rows:
            key = None if wrapped is None else AESGCM(self._unwrap(person, version, wrapped))
            self._keys.setdefault(person, {})[version] = key
        over = islice(self._keys, max(0, len(self._keys) - KEYS_CACHED_MAX))
        for person in [person for person in over if person not in self._minted]:
            del self._keys[person]

    def forget(self, person: str) -> None:
        """The key in memory is not the stored one: another process was first, or it was erased."""
        self._keys.pop(person, None)
        self._minted.pop(person, None)

    def minted(self, persons: Iterable[str]) -> list[tuple[str, int, bytes]]:
        """Keys that are not stored yet, as (person, version, wrapped)."""
        return [(p, *self._minted[p]) for p in sorted(set(persons)) if p in self._minted]

    def stored(self, keys: Iterable[tuple[str, int, bytes]]) -> None:
        """The append that carried these keys, as from `minted`, was accepted."""
        for person, *key in keys:
            if self._minted.get(person) == tuple(key):
                del self._minted[person]

    def seal(self, person: str, context: str, clear: bytes) -> Sealed:
        version, cipher = self._newest(person)
        nonce = os.urandom(NONCE_BYTES)
        bound = self._bound(person, version, context)
        ciphertext = nonce + cipher.encrypt(nonce, clear, bound)
        return Sealed(
            sealed=base64.b64encode(ciphertext).decode(),
            person=person,
            key=version,
            context=context,
        )

    def open(self, sealed: Sealed) -> bytes | None:
        """None when the key was destroyed. Raises InvalidTag when the value is not as sealed."""
        cipher = self._keys.get(sealed.person, {}).get(sealed.key)
        if cipher is None:
            return None
        raw = base64.b64decode(sealed.sealed)
        bound = self._bound(sealed.person, sealed.key, sealed.context)
        return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], bound)

    def _newest(self, person: str) -> tuple[int, AESGCM]:
        versions = self._keys.setdefault(person, {})
        newest = max(versions, default=0)
        cipher = versions.get(newest)
        if cipher is None:  # None yet, or erased: what comes later is sealed under a new key.
            newest, key = newest + 1, AESGCM.generate_key(256)
            cipher = versions[newest] = AESGCM(key)
            self._minted[person] = (newest, self._wrap(person, newest, key))
        return newest, cipher

    def _bound(self, person: str, version: int, context: str) -> bytes:
        return f"{self._ledger}|{person}|{version}|{context}".encode()

    def _wrap(self, person: str, version: int, key: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._master.encrypt(nonce, key, self._bound(person, version, "key"))

    def _unwrap(self, person: str, version: int, wrapped: bytes) -> bytes:
        bound = self._bound(person, version, "key")
        try:
            return self._master.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound)
        except InvalidTag:
            raise ValueError(
                f"the key of {person} was wrapped by another LEDGER_MASTER_KEY"
            ) from None


class RecordCipher:
    """Seals what others sent, kept as it came: nobody can say yet whom it is about, so all of a
    ledger is under one key. A value opens only in the table, column and row it was sealed for.
    """

    def __init__(self, ledger: str, key: bytes) -> None:
        """`key`: 32 bytes, `Settings.record_key`."""
        self._ledger = ledger
        self._cipher = AESGCM(key)

    def seal(self, column: str, source: str, clear: bytes) -> bytes:
        """`column` with its table, `source` as the row names where its record stood."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, clear, self._bound(column, source))

    def open(self, column: str, source: str, sealed: bytes) -> bytes:
        """Raises ValueError when it was sealed by another key, or for another place."""
        bound = self._bound(column, source)
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        except InvalidTag:
            raise ValueError(
                f"{column} of {source} was sealed by another LEDGER_MASTER_KEY, or changed"
            ) from None

    def _bound(self, column: str, source: str) -> bytes:
        return f"{self._ledger}|{column}|{source}".encode()
