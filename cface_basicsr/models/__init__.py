"""BasicSR's training lifecycle: in which order things happen. No formulas of its own."""
