"""`python -m worldpatch` is `worldpatch`."""

import sys

from worldpatch.cli import main

sys.exit(main())
