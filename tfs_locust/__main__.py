"""``python -m tfs_locust`` is ``tfs-locust``."""

import sys

from tfs_locust.cli import main

sys.exit(main())
