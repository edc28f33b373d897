"""Which keys sign and verify between us and the clearinghouse: V2G_* variables, paths and names only."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from evse_agent.config import Pkcs11
from tasks.posting.settlement_key import CERTIFICATE, Place

RsaAlgorithm = Literal["rsa-v1_5-sha256", "rsa-pss-sha512"]


class KeySettings(BaseSettings):
    """Settings of the settlement key and of the partner's; of posting and of `v2g keys`."""

    model_config = SettingsConfigDict(env_prefix="V2G_", frozen=True, extra="ignore")

    settlement_key_file: Path | None = Field(
        default=None,
        description="the private key that signs what is posted: PEM, mode 0600, such as"
        " /etc/v2g/settlement_private.key; without one, or a token, only a clearinghouse on this"
        " machine is posted to",
    )
    settlement_cert_file: Path | None = Field(
        default=None,
        description="the certificate of the settlement key, such as /etc/v2g/settlement_cert.pem;"
        " not given: settlement_cert.pem beside the key",
    )
    settlement_passphrase_file: Path | None = Field(
        default=None,
        description="file with the passphrase of an encrypted settlement key, mode 0600",
    )
    settlement_pkcs11_module: Path | None = Field(
        default=None,
        description="the PKCS#11 module of the token that holds the settlement key, instead of a file",
    )
    settlement_pkcs11_token: str = Field(default="", description="that token's label")
    settlement_pkcs11_key: str = Field(
        default="settlement", description="the label of the pair of keys in that token"
    )
    settlement_pkcs11_pin_file: Path | None = Field(
        default=None, description="file with that token's PIN, mode 0600"
    )
    settlement_rsa_algorithm: RsaAlgorithm = Field(
        default="rsa-v1_5-sha256", description="by what an RSA settlement key signs"
    )
    clearinghouse_key_file: Path | None = Field(
        default=None,
        description="the clearinghouse's public key or certificate, PEM; where it is given, its"
        " answers count only with its signature",
    )
    clearinghouse_rsa_algorithm: RsaAlgorithm = Field(
        default="rsa-v1_5-sha256", description="by what the clearinghouse's RSA key signs"
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        module = self.settlement_pkcs11_module
        if module is not None and self.settlement_key_file is not None:
            raise ValueError(
                "V2G_SETTLEMENT_KEY_FILE and V2G_SETTLEMENT_PKCS11_MODULE are both given; expected"
                " one of them"
            )
        if module is None:
            return self
        needed = {
            "V2G_SETTLEMENT_PKCS11_TOKEN": self.settlement_pkcs11_token,
            "V2G_SETTLEMENT_PKCS11_KEY": self.settlement_pkcs11_key,
            "V2G_SETTLEMENT_PKCS11_PIN_FILE": self.settlement_pkcs11_pin_file,
            "V2G_SETTLEMENT_CERT_FILE": self.settlement_cert_file,
        }
        if missing := [name for name, value in needed.items() if not value]:
            raise ValueError(f"V2G_SETTLEMENT_PKCS11_MODULE is given without {', '.join(missing)}")
        return self

    @property
    def place(self) -> Place | None:
        """Where the settlement key is; None where there is none."""
        if self.settlement_key_file is not None:
            beside = self.settlement_key_file.with_name(CERTIFICATE)
            return Place(
                certificate=self.settlement_cert_file or beside,
                key_file=self.settlement_key_file,
                passphrase_file=self.settlement_passphrase_file,
                rsa_algorithm=self.settlement_rsa_algorithm,
            )
        module, pin = self.settlement_pkcs11_module, self.settlement_pkcs11_pin_file
        if module is None or pin is None or self.settlement_cert_file is None:
            return None
        return Place(
            certificate=self.settlement_cert_file,
            token=Pkcs11(module, self.settlement_pkcs11_token, self.settlement_pkcs11_key, pin),
            rsa_algorithm=self.settlement_rsa_algorithm,
        )
