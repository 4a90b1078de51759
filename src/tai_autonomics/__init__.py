"""TAI Autonomics: the entitlement and autonomic control plane for SaaS vendors."""

__version__ = "0.1.0"
