"""A chain of trainings by BasicSR: recipe, steps, processes, logs."""
