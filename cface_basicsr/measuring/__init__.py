"""From a system to numbers: protocols, results, tables, comparison."""
