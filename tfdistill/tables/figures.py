"""A paper's figures, as a table file has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfdistill.bounds import nearest, shown
from tfdistill.tables.table import Figures
from tfdistill.tables.values import Place

PERCENT, PER_NETWORK, BY_NAME = (int, float), (list, int, float), dict


def figures(told: Any, place: Place) -> Figures:
    """What `paper = {...}` says.

    Args:
        told: figures by name; where there is one per network, a list or, of one network, a number.
        place: where it stands.

    Raises:
        TableError: another name, or what is no figure.
    """
    if not isinstance(told, dict):
        raise place.error("paper", f"must be figures by name, not {shown(told)}")
    kinds = {one.name: _kind(one) for one in dataclasses.fields(Figures)}
    found: dict[str, Any] = {}
    for name, value in told.items():
        if name not in kinds:
            raise place.error("paper", f"{name!r} is no figure; nearest: {nearest(name, kinds)}")
        if kinds[name] is BY_NAME:
            found[name] = _by_name(name, value, place)
        elif kinds[name] is PER_NETWORK:
            found[name] = tuple(_figure(name, one, place) for one in (value if isinstance(value, list) else [value]))
        else:
            found[name] = _figure(name, value, place)
    for name in found:
        _require_figures_of(name, found, place)
    return Figures(**found)


def _require_figures_of(deviation: str, found: Mapping[str, Any], place: Place) -> None:
    """Refuses a deviation without its figure, and deviations that are not as many as their figures."""
    name = deviation.removesuffix("_std")
    if name == deviation:
        return
    if name not in found:
        raise place.error(f"paper.{deviation}", f"is there without paper.{name}; give both")
    if isinstance(found[name], tuple) and len(found[deviation]) not in (0, len(found[name])):
        many = f"{len(found[name])}, one for each of paper.{name}"
        raise place.error(f"paper.{deviation}", f"must be {many}, not {len(found[deviation])}")


def _kind(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return BY_NAME
    return PER_NETWORK if field.default == () else PERCENT


def _figure(name: str, value: Any, place: Place) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 100:
        said = repr(value) if isinstance(value, str) else shown(value)  # a text may look like a number
        raise place.error(f"paper.{name}", f"must be a number in 0..100, not {said}")
    return float(value)


def _by_name(name: str, value: Any, place: Place) -> Mapping[str, float]:
    if not isinstance(value, dict):
        raise place.error(f"paper.{name}", f"must be figures by name, not {shown(value)}")
    return {one: _figure(f"{name}.{one}", figure, place) for one, figure in value.items()}
