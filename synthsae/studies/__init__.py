"""Our own studies, a folder each. In a checkout they are in `studies/`, beside this package."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent
FOLDER = _HERE if (_HERE / "rank_sweep").is_dir() else _HERE.parent.parent / "studies"
__path__ = [str(FOLDER)]
