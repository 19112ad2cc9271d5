"""Typed, strict views of option files: what may be set, checked before any work.

BasicSR passes options on as nested dictionaries, so a misspelt key is silently ignored. Here each section of an
option file is opened once by a model that knows its keys; an unknown key is refused, and the nearest valid one named.
"""

from cface_basicsr.options.checks import check_training_options, prepare_test_options, prepare_training_options
from cface_basicsr.options.datasets import LoaderOptions
from cface_basicsr.options.files import merge, option_text, read_option_file, write_option_file
from cface_basicsr.options.option_file import check_frame
from cface_basicsr.options.sections import FilledIn, FolderName, Section, open_section, problem
from cface_basicsr.options.sizes import count_identities, count_images, iterations_an_epoch
from cface_basicsr.options.training import CFaceTraining, Optimizer, RecognitionTraining, SICNNTraining, Training
