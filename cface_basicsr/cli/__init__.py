"""The command `cface`: one file a command, each a thin call."""
