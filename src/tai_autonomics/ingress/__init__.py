"""The front door: request to command, receipt to response."""
