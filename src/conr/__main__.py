"""The command ``conr`` as ``python -m conr``."""

import sys

from conr.cli.main import main

sys.exit(main())
