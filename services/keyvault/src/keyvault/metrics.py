"""What keyvault counts, besides what its consumers count."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class KeyvaultMetrics:
    """One instance a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.logins = Counter("tollgate_keyvault_logins", "Logins by how they ended", ["outcome"], registry=registry)
        self.deliveries = Counter(
            "tollgate_keyvault_deliveries", "Secrets delivered, by recipient", ["service"], registry=registry
        )
        self.audit_chain_intact = Gauge(
            "tollgate_keyvault_audit_chain_intact", "1 while the audit trail's hashes hold", registry=registry
        )
        self.audit_chain_intact.set(1)
