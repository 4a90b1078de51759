"""What the service does, in order, through ports alone."""
