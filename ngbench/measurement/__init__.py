"""What a step costs: clock, phases, memory and operation counts."""
