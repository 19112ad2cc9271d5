"""`python -m cface_basicsr.test -opt options/x.yml`: BasicSR's test, even if `import basicsr` fails by itself."""

import os
import sys

from cface_basicsr.compat.before_import import prepare_import
from cface_basicsr.runtime import sleep_while_waiting

sleep_while_waiting()
prepare_import()  # before the first import of BasicSR

if __name__ == '__main__':
    import basicsr.test

    from cface_basicsr.register import take_arguments  # registers the classes, patches BasicSR
    take_arguments(sys.argv)
    basicsr.test.test_pipeline(os.getcwd())
