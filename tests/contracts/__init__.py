"""What every registered regularizer must do, whatever its equation."""
