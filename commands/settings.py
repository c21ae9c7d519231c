"""All settings, one frozen model. Only entry points read the environment (prefix LEDGER_)."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.invoice_commands import SellerTerms
from domain.provider_commands import ProviderName, ProviderTerms

# Of the ledgers of the world: stream ids of natural keys are uuid5 in a namespace below this one.
LEDGERS = uuid.UUID("7a3c1d52-94f0-4c63-9f0a-2f1f3a1f8a10")
PORT_MAX = 65_535


class Settings(BaseSettings):
    """One ledger, and the servers that it uses. Empty server settings start local ones."""

    model_config = SettingsConfigDict(env_prefix="LEDGER_", frozen=True, extra="ignore")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")] = "main"
    """The ledger: its schema, and the root of every derived name."""
    postgres_url: str = ""
    """PostgreSQL of the application; empty: a local server is started by `ledger up`."""
    migrate_url: str = ""
    """PostgreSQL as the owner of the schema, for `ledger migrate`; empty: `postgres_url`."""
    kafka_bootstrap: str = ""
    """Kafka's bootstrap servers, comma separated; empty: `ledger up` starts a local broker."""
    master_key: SecretStr = SecretStr("")
    """32 bytes as hex: wraps the keys of personal data and signs digests. `ledger up` makes one."""
    analytics_path: Path = Path("var/analytics")
    """Directory of the analytics facts."""
    analytics_threads: int = 2
    """Threads of one DuckDB connection."""
    analytics_memory_limit: str = "2GB"
    """Memory that one DuckDB connection may use."""
    providers: dict[ProviderName, ProviderTerms] = {}
    """JSON: payment providers by name (`{"acme": {"secret": …, "url": …, "path": …}}`)."""
    sellers: dict[str, SellerTerms] = {}
    """JSON: the legal entity of each shop, which its invoices name (`{"main": {"name": …}}`)."""
    fapiao_path: Path = Path("var/fapiao")
    """Directory that `ledger fapiao` exchanges files with the tax provider in."""
    evidence_path: str = "var/evidence"
    """Directory of the files that customers show, or a URL that fsspec knows (s3://…)."""
    api_host: str = "127.0.0.1"
    """Loopback only, until there are accounts."""
    api_port: Annotated[int, Field(ge=0, le=PORT_MAX)] = 8000
    """Wished port of the API; a free one is taken when it is in use."""
    metrics_host: str = "127.0.0.1"
    """Where a worker's own /metrics listens."""
    metrics_port: Annotated[int, Field(ge=0, le=PORT_MAX)] = 0
    """Port of a worker's own /metrics; 0: none."""
    var_path: Path = Path("var")
    """Where local servers and endpoints.json live."""
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)
    ] = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    @property
    def schema_name(self) -> str:
        return self.name

    @property
    def read_schema(self) -> str:
        """Read models: everything in it can be dropped and folded again."""
        return f"{self.name}_read"

    @property
    def analytics_schema(self) -> str:
        return f"{self.name}_analytics"

    @property
    def role(self) -> str:
        """What the application may do in PostgreSQL: append by the function, select."""
        return f"ledger_{self.name}_app"

    @property
    def channel(self) -> str:
        return f"ledger_{self.name}"

    @property
    def namespace(self) -> uuid.UUID:
        return uuid.uuid5(LEDGERS, self.name)

    def kafka_topic(self, topic: str) -> str:
        return topic if self.name == "main" else f"{self.name}.{topic}"

    def master_key_bytes(self) -> bytes:
        """Raises ValueError that names the setting when the key is missing or has another size."""
        try:
            key = bytes.fromhex(self.master_key.get_secret_value())
        except ValueError:
            key = b""
        if len(key) != 32:
            raise ValueError("LEDGER_MASTER_KEY must be 64 hexadecimal digits (32 bytes)")
        return key

    def digest_key(self) -> bytes:
        """Key of the digests of requests; another use, so another key."""
        return hashlib.blake2b(b"request digest", key=self.master_key_bytes()).digest()[:32]

    def record_key(self) -> bytes:
        """Key of the records of others that are kept as they came."""
        return hashlib.blake2b(b"kept record", key=self.master_key_bytes()).digest()[:32]
