"""From a record to something to read: verdicts, tables, figures, page."""
