"""``poles``: where the axes of both dipoles meet the Earth, and where their field is vertical."""

import argparse
import csv
from collections.abc import Sequence
from typing import Any

import numpy as np

from ecgkern import geomag
from ecgkern.geomag._command._csv import CommandError, cells_of, open_output
from ecgkern.geomag._command._options import (
    check_epoch,
    dipole_settings,
    geographic_place,
    is_fixed,
    model_name,
    needs_epoch,
    number,
    when,
)
from ecgkern.geomag._model import TABLES, Floats

# The poles as the tables call them.
NAMES = {
    "cd": "centred dipole, axis",
    "ed_axial": "eccentric dipole, axis",
    "ed_dip": "eccentric dipole, field vertical",
}
_MOST_EPOCHS = 100_000
_STEP = 5.0  # years


def poles(args: argparse.Namespace) -> None:
    """Run ``ecgkern geomag poles``."""
    epochs = _epochs(args)
    if args.as_csv:
        rows = _csv(args, epochs)
        with open_output(args.out) as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    else:
        lines = _one_epoch(args) if epochs is None else _many_epochs(args, epochs)
        with open_output(args.out) as file:
            file.writelines(line + "\n" for line in lines)


def _epochs(args: argparse.Namespace) -> Floats | None:
    """Return the epochs of --from, --to and --step, None if there are no such options."""
    if args.first is None and args.last is None:
        if args.step is not None:
            raise CommandError("--step goes with --from and --to")
        if needs_epoch(args):
            raise CommandError("no epoch: give --epoch, or --from and --to with --step")
        check_epoch(args)
        return None
    if args.epoch is not None:
        raise CommandError("give --epoch, or --from and --to with --step, not both")
    if args.first is None or args.last is None:
        raise CommandError("--from and --to go together")
    if is_fixed(args.model):
        raise CommandError("the model is the same at every epoch; leave --from and --to out")
    step = _STEP if args.step is None else args.step
    if not (step > 0 and args.last >= args.first):
        raise CommandError("--to must not lie before --from, and --step must be greater than 0")
    last = np.floor((args.last - args.first) / step + 1e-9)  # a last step that rounding made too short counts
    if last >= _MOST_EPOCHS:
        raise CommandError(f"{last + 1:.0f} epochs are more than {_MOST_EPOCHS}; choose a larger --step")
    return np.asarray(args.first + step * np.arange(last + 1))


def _poles(args: argparse.Namespace, epoch: Any) -> geomag.Poles:
    return geomag.poles(epoch, coords=args.coords, **dipole_settings(args))


def _one_epoch(args: argparse.Namespace) -> list[str]:
    dipole, found = geomag.Dipole.at(args.epoch, **dipole_settings(args)), _poles(args, args.epoch)
    digits = 4 if args.digits is None else args.digits
    lines = [when(args), f"{args.coords} latitudes, sphere of {geomag.EARTH_RADIUS} km", ""]
    lines.append(f"{'pole':<36}{'north':<{2 * digits + 20}}south")
    for kind, name in NAMES.items():
        north, south = (geographic_place(*_place(found, f"{kind}_{side}"), digits) for side in ("north", "south"))
        lines.append(f"{name:<36}{north:<{2 * digits + 20}}{south}")
    offset = ", ".join(number(value, ".3f") for value in dipole.offset_km)
    return [
        *lines,
        "",
        f"dipole moment       {number(dipole.moment, '.4e')} A m², reduced {number(dipole.b0, '.2f')} nT",
        f"eccentric distance  {number(found.eccentric_distance, '.3f')} km; along the geographic axes {offset} km",
    ]


def _place(found: geomag.Poles, name: str) -> tuple[float, float]:
    pole = getattr(found, name)
    return float(pole.lat), float(pole.lon)


def _many_epochs(args: argparse.Namespace, epochs: Floats) -> list[str]:
    found = _poles(args, epochs)
    digits = 2 if args.digits is None else args.digits
    shown = {
        "CD north": found.cd_north,
        "ED axis north": found.ed_axial_north,
        "ED axis south": found.ed_axial_south,
        "ED vertical north": found.ed_dip_north,
        "ED vertical south": found.ed_dip_south,
    }
    width = max(18, 2 * digits + 11)
    lines = [
        _heading(args, epochs),
        f"{args.coords} latitude and longitude in °, distance of the ED from the centre in km",
        "the south pole of the CD is opposite the north pole",
        "",
        f"{'epoch':>8}" + "".join(f"{name:>{width}}" for name in shown) + f"{'distance':>10}",
    ]
    for i, epoch in enumerate(epochs):
        places = (
            f"{number(pole.lat[i], f'.{digits}f')} {number(pole.lon[i], f'{digits + 5}.{digits}f')}"
            for pole in shown.values()
        )
        cells = "".join(f"{text:>{width}}" for text in places)
        lines.append(f"{epoch:>8g}{cells}{number(found.eccentric_distance[i], '.2f'):>10}")
    return lines


def _heading(args: argparse.Namespace, epochs: Floats) -> str:
    """Return the model, and what is done with epochs beyond it."""
    first, last = TABLES[args.model].years[[0, -1]]
    rule = {"nan": "none", "clip": "clipped", "extrapolate": "extrapolated"}
    outside = epochs[0] < first or epochs[-1] > last
    return model_name(args.model) + (
        f"; epochs beyond {first:.1f} to {last:.1f}: {rule[args.out_of_range]}" if outside else ""
    )


def _csv(args: argparse.Namespace, epochs: Floats | None) -> list[Sequence[Any]]:
    """Return the header and a row for each epoch, which is the one asked for; none if the model has no epochs."""
    asked = args.epoch if epochs is None else epochs
    dipole, found = geomag.Dipole.at(asked, **dipole_settings(args)), _poles(args, asked)
    columns = {"epoch": dipole.epoch if not is_fixed(args.model) else np.nan, "b0": dipole.b0}
    for name in (f"{kind}_{side}" for kind in NAMES for side in ("north", "south")):
        columns[f"{name}_lat"], columns[f"{name}_lon"] = getattr(found, name)
    columns["eccentric_distance"] = found.eccentric_distance
    cells = [cells_of(np.atleast_1d(values), args.digits) for values in columns.values()]
    return [list(columns), *zip(*cells, strict=True)]
