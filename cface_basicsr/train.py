"""`python -m cface_basicsr.train -opt options/x.yml`: BasicSR's training, even if `import basicsr` fails by itself.

Takes BasicSR's own arguments (also under torchrun and torch.distributed.launch) and writes below the working
directory.
"""

import os
import sys

from cface_basicsr.compat.before_import import prepare_import
from cface_basicsr.runtime import PARENT, end_at_once_by_ctrl_c, end_with_parent, sleep_while_waiting

sleep_while_waiting()
prepare_import()  # before the first import of BasicSR; spawned workers run this line too

if __name__ == '__main__':
    if PARENT in os.environ:
        end_with_parent()
    end_at_once_by_ctrl_c()  # until there is something to save
    import basicsr.train

    from cface_basicsr.register import take_arguments  # registers the classes, patches BasicSR
    take_arguments(sys.argv)
    basicsr.train.train_pipeline(os.getcwd())
