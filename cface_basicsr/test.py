"""`python -m cface_basicsr.test -opt options/x.yml`: BasicSR's test, even if `import basicsr` fails by itself."""

import os

from cface_basicsr.compat.before_import import prepare_import

prepare_import()  # before the first import of BasicSR

if __name__ == '__main__':
    import basicsr.test

    import cface_basicsr.register  # noqa: F401  registers the classes, patches BasicSR
    basicsr.test.test_pipeline(os.getcwd())
