"""What the service is compared with: each peer is a small program of its own, run like the service itself."""
