"""The encrypted column under the name that earlier migrations know it by."""

from accounts.encryption import EncryptedTextField, cipher

__all__ = ["EncryptedTextField", "cipher"]
