"""What is decided: pure functions of commands, states, plans and time. No I/O, clock or randomness."""
