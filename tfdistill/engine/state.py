"""Variables under keys that are the same in every process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras


def network_state(networks: Sequence[keras.Model]) -> dict[str, keras.Variable]:
    """The part of `Distiller.state` that is the networks' own, which is all that scoring or exporting them needs."""
    return keyed({f"networks/{network.name}": network.variables for network in networks})


def keyed(owners: Mapping[str, Sequence[keras.Variable]]) -> dict[str, keras.Variable]:
    """The variables of several owners, each as `<owner>/<place among its variables>/<name>`."""
    found = {}
    for owner, variables in owners.items():
        for index, variable in enumerate(variables):
            # An optimizer's slots are named after layers, which Keras numbers anew in every model where the user gave
            # them no name: of the slots' names the last word has to do.
            name = variable.name.split("_")[-1] if owner.startswith("optimizers/") else variable.name
            found[f"{owner}/{index:04d}/{name}"] = variable
    return found
