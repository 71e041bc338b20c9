"""What every simulation bench needs to know: ports, buses, schedules and vectors."""
