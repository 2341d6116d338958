"""Mixes of methods as one objective: criterion, regularizers, densities, smoothing, label scale and schedules."""
