"""Files that a run leaves: its result, outputs, history, configuration, failure and environment."""
