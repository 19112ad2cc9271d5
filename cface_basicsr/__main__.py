"""`python -m cface_basicsr` is `cface`."""

from cface_basicsr.cli.main import main

main()
