"""The studies of this package, one folder each. In a checkout the folders are in `studies/`."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent
FOLDER = _HERE if (_HERE / "rank_sweep").is_dir() else _HERE.parent.parent / "studies"
__path__ = [str(FOLDER)]
