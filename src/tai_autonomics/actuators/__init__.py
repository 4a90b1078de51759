"""What reaches out: each module does actions of one kind to the outside world, as application/ports.Actuator asks."""
