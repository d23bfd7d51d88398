"""A source that is larger than memory should be: all of it is sent, and little of it is held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_WRITE = """
import sys
import numpy as np
from pathlib import Path
from tests.unit.test_sources import TARGET, SIGNATURE
from tfs_locust.load.prediction_log import log_record
from tfs_locust.load.tfrecord import write_records
from tfs_locust.tfserving import codec

path, megabytes, compress = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "gz"
rows = 1 << 15  # a quarter of a megabyte
request = codec.encode_grpc(TARGET, SIGNATURE, {"x": np.random.default_rng(0).random((rows, 2), dtype=np.float32)})
write_records(path, (log_record(request) for _ in range(4 * megabytes)))
if compress:
    import gzip, shutil
    with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb", 1) as packed:
        shutil.copyfileobj(plain, packed)
"""

_READ = """
import json, resource, sys
from tests.unit.test_sources import TARGET, SIGNATURE
from tfs_locust.load.pool import Pool
from tfs_locust.load.sources import open_source

def held_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

path, most_bytes = sys.argv[1], int(sys.argv[2])
source = open_source(path, SIGNATURE, 1, 0, None, grpc_target=TARGET)  # reads one record: all code is loaded then
before, payloads, rows = held_kib(), 0, 0
first_pass = sum(1 for _ in source.passes())
pool = Pool(source, lambda payload: payload, most_bytes=most_bytes)
pool.fill()
while payloads < first_pass:
    rows += next(pool).rows
    payloads += 1
    pool.refill()
print(json.dumps({"payloads": payloads, "rows": rows, "laps": pool.laps, "whole": pool.whole,
                  "grown_mib": (held_kib() - before) / 1024, "all_mib": held_kib() / 1024}))
"""


def _run(script: str, *arguments: object) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_log_takes_the_memory_of_its_pool(tmp_path: Path, ending: str) -> None:
    """24 MiB, plain or gzip, with a pool of 4: every payload is sent in one turn, and memory grows by less than 12."""
    _run(_WRITE, tmp_path / "log", 24, ending.removeprefix("."))
    told = json.loads(_run(_READ, f"{tmp_path / 'log'}{ending}", 4 << 20))
    assert (told["payloads"], told["rows"], told["laps"], told["whole"]) == (96, 96 << 15, 0, False)
    assert told["grown_mib"] < 12


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_gigabyte_within_200_megabytes(tmp_path: Path) -> None:
    """The whole process, with the pool that runs have by default."""
    _run(_WRITE, tmp_path / "log", 1024, "")
    told = json.loads(_run(_READ, tmp_path / "log", 64 << 20))
    assert (told["payloads"], told["rows"], told["laps"], told["whole"]) == (4096, 4096 << 15, 0, False)
    assert told["all_mib"] < 200
