"""The command ``conr`` as ``python -m conr``."""

import os
import sys

if sys.path[0] in {"", os.getcwd()}:  # noqa: PTH109  as Python puts it there, before all installed packages
    del sys.path[0]

from conr.cli.main import main

sys.exit(main())
