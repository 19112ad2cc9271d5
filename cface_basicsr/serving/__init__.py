"""One page in the browser for what `cface enhance` does to a photograph; it is served to this machine only."""
