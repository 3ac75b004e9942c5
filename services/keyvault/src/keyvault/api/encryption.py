"""`/api/v1/llm/providers/encryption`: bringing stored secrets under the newest master key, for admins."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from keyvault.api.answers import ByAdmin, Journeys

router = APIRouter(prefix="/api/v1/llm/providers/encryption", tags=["provider keys"])


class EncryptionRotated(BaseModel):
    """What a step did; `remaining` secrets are still under an older master key, `master_key` names the newest."""

    rewrapped: int
    remaining: int
    master_key: str


@router.post("/rotate")
async def rotate_encryption(by: ByAdmin, keyvault: Journeys) -> EncryptionRotated:
    """Encrypt some stored secrets anew; call it until nothing remains. Calls go on all the while."""
    done = await keyvault.rewrapping.step(by)
    return EncryptionRotated(rewrapped=done.rewrapped, remaining=done.remaining, master_key=done.master_key)
