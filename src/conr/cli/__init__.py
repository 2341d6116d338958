"""The command ``conr``."""
