"""Names of shot regions."""

REGIONS = ("many", "median", "few")
"""Shot regions: labels with many training samples, with few, and those between."""
GROUPS = ("all", *REGIONS)
"""All samples, then each shot region: the groups that errors are told for."""
