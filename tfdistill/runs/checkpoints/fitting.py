"""Whether a checkpoint's arrays are those of a set of variables, and assigning them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfdistill.bounds import and_more, like
from tfdistill.runs.checkpoints.files import CheckpointError

# Of a variable and its array. `.npz` has no bfloat16; what is int64 now may have been int32 when it was saved.
_ALSO_FIT = {("bfloat16", "float32"), ("float16", "float32"), ("int64", "int32")}


def assign(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Assigns every array to the variable of its name, after checking that all of them fit.

    Names must match one to one, shapes and dtypes must be equal. Half-precision variables also take float32
    arrays, as `.npz` has no bfloat16, and int64 variables int32 arrays.

    Args:
        variables: name to `keras.Variable` or `tf.Variable`.
        arrays: name to array, as in `Checkpoint.arrays`.

    Raises:
        CheckpointError: something does not fit; no variable was touched.
    """
    require_fit(variables, arrays)
    for name, variable in variables.items():
        variable.assign(arrays[name])


def require_fit(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Checks what `assign` needs: names one to one, equal shapes and dtypes.

    Raises:
        CheckpointError: something does not fit.
    """
    _check_names(variables, arrays)
    for name, variable in variables.items():
        array, shape = np.asarray(arrays[name]), tuple(variable.shape)
        if shape != array.shape:
            raise CheckpointError(f"variable '{name}' has shape {shape}, its array in the checkpoint {array.shape}")
        dtype, found = getattr(variable.dtype, "name", variable.dtype), array.dtype.name
        if dtype != found and (dtype, found) not in _ALSO_FIT:
            raise CheckpointError(f"variable '{name}' is {dtype}, its array in the checkpoint {found}")


def _check_names(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    missing = sorted(variables.keys() - arrays.keys())
    unexpected = sorted(arrays.keys() - variables.keys())
    if missing:
        rest = and_more(missing) + like(missing[0], unexpected)
        raise CheckpointError(f"the checkpoint has no array for variable '{missing[0]}'{rest}")
    if unexpected:
        rest = and_more(unexpected)
        raise CheckpointError(f"the checkpoint's array '{unexpected[0]}'{rest} belongs to no variable")
