"""The command `cface`: one file per command, each a thin call."""
