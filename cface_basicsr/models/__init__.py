"""BasicSR's training lifecycle: the order in which things happen. It has no formulas of its own."""
