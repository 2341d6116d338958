"""Plain loops in float64, written from the equations; nothing here imports conr."""
