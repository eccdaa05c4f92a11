"""Finding the recordings: the one place that knows about ``ECGKERN_DATA``."""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT_VARIABLE = "ECGKERN_DATA"


def resolve_folder(
    root: str | os.PathLike[str] | None, *, database: str, subfolder: str, marker: str, get: str
) -> Path:
    """Find the folder of one database.

    Parameters
    ----------
    root : path or None
        The folder or its parent; None takes the environment variable ``ECGKERN_DATA``.
    database : str
        Name of the database, for the error.
    subfolder : str
        The database's usual folder name below a folder of several databases.
    marker : str
        Glob pattern of a file that only the right folder holds.
    get : str
        Commands that fetch the data, for the error.

    Raises
    ------
    FileNotFoundError
        If no folder was given or none holds the marker; the message says how to get the data.
    """
    place = root if root is not None else os.environ.get(ENVIRONMENT_VARIABLE)
    if not place:
        raise FileNotFoundError(
            f"{database}: no folder was given and {ENVIRONMENT_VARIABLE} is not set. Give root=, "
            f"or set {ENVIRONMENT_VARIABLE} to the folder of the data or to the folder that holds "
            f"it as {subfolder}/. To get the data:\n{get}"
        )
    base = Path(place).expanduser()
    for folder in (base / subfolder, base):
        if next(folder.glob(marker), None) is not None:
            return folder
    raise FileNotFoundError(
        f"{database}: neither {base} nor {base / subfolder} holds {marker}. To get the data:\n{get}"
    )
