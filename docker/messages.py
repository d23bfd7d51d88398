"""Takes TensorFlow's generated messages out of its wheel, and nothing else: ``messages.py WHEEL FOLDER``.

``tfs_locust.tfserving.protos`` finds them as a folder ``tensorflow`` without code of its own.
"""

from __future__ import annotations

import compileall
import re
import sys
import zipfile

# messages of its core use some of its compiler's; the licence goes where the files go
_WANTED = re.compile(r"tensorflow/(.*_pb2\.py|include/LICENSE)")


def main(wheel: str, folder: str) -> int:
    """Returns 0; 1 where the wheel has no messages."""
    with zipfile.ZipFile(wheel) as archive:
        wanted = [name for name in archive.namelist() if _WANTED.fullmatch(name)]
        archive.extractall(folder, wanted)
    if not any(name.endswith("_pb2.py") for name in wanted):
        sys.stderr.write(f"{wheel} has no tensorflow/**/*_pb2.py\n")
        return 1
    return 0 if compileall.compile_dir(folder, quiet=1, stripdir=folder) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
