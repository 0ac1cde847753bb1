"""Which channels of a network inherit and which explore, as a run's checkpoint has it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tfdistill.runs.folder import RunFolder
from tfdistill.runs.trained import newest_checkpoint
from tfdistill.transfers.inheritance import PARTS

_INDICES = re.compile(rf"helpers/(.*)_({'|'.join(PARTS)})/\d+/indices")


def inherited_channels(
    folder: RunFolder, networks: Iterable[str], kept: int | None = None
) -> dict[str, dict[str, list[int]]]:
    """The channels of each network's "features" by what they do, "inheritance" and "exploration".

    Args:
        folder: the run's.
        networks: names of its networks.
        kept: an epoch that it has kept, if one is meant.

    Returns:
        lists of channels by the network's name and by what they do; without a network whose training parts no channels.

    Raises:
        ValueError: the run has no whole checkpoint.
    """
    names = list(networks)
    found: dict[str, dict[str, list[int]]] = {}
    for key, array in newest_checkpoint(folder, kept=kept).arrays.items():
        if (is_part := _INDICES.fullmatch(key)) is None:
            continue
        prefix, part = is_part.groups()
        # The helpers' prefix is LEARNER_from_SOURCE, perhaps with the transfer's name before it.
        learner = next((one for one in names if re.search(rf"(^|_){re.escape(one)}_from_", prefix)), None)
        if learner is not None:
            found.setdefault(learner, {})[part] = [int(one) for one in array]
    return found
