"""A folder in Pascal VOC's layout of photographs that come with scikit-learn and scikit-image, to try a detector on.

python benchmarks/photographs.py FOLDER

The boxes in photographs/Annotations were drawn by hand, looking at each photograph. 13 photographs to train on, 2 of
them without objects, and 2 to score; one of these shows the motorcycle of the other part from beside. So few say
nothing of a detector but that it runs, and learns what it is shown.
"""

from __future__ import annotations

import argparse
import importlib.util
import pathlib
import shutil
import sys
from collections.abc import Sequence

BOXES = pathlib.Path(__file__).parent / "photographs"
# Where each package has its pictures.
PACKAGES = {"skimage": "data", "sklearn": "datasets/images"}
INSTALL = "pip install scikit-image scikit-learn"


def main() -> int:
    """Makes the folder and says what is in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="is made; must not be there")
    arguments = parser.parse_args()
    try:
        made = make(arguments.folder, sources())
    except (OSError, LookupError) as error:
        print(f"benchmarks/photographs.py: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.folder}: {len(made)} photographs: {', '.join(made)}")
    return 0


def sources() -> list[pathlib.Path]:
    """The folders with pictures.

    Raises:
        LookupError: a package is not installed.
    """
    found = []
    for package, inside in PACKAGES.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise LookupError(f"{sys.executable} has no {package}; {INSTALL}")
        found.append(pathlib.Path(spec.origin).parent / inside)
    return found


def make(folder: pathlib.Path, pictures: Sequence[pathlib.Path]) -> list[str]:
    """Copies annotations, lists, and the photographs that they are about.

    Args:
        folder: is made.
        pictures: folders to look for photographs in.

    Returns:
        the names of the photographs.

    Raises:
        FileExistsError: the folder is there.
        LookupError: a photograph is in none of the folders.
    """
    names = sorted(path.stem for path in (BOXES / "Annotations").glob("*.xml"))
    there = {path.stem: path for where in reversed(pictures) for path in where.iterdir()}
    if missing := [name for name in names if name not in there]:
        raise LookupError(f"there is no photograph {missing[0]} in {', '.join(map(str, pictures))}")
    shutil.copytree(BOXES, folder)
    (folder / "JPEGImages").mkdir()
    for name in names:
        shutil.copy(there[name], folder / "JPEGImages")
    return names


if __name__ == "__main__":
    sys.exit(main())
