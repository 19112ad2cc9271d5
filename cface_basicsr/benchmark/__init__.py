"""Many systems, one table: recipes of training steps, tables, figures."""
