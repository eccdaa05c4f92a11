# %% [markdown]
# # Geomagnetic coordinates, time and field of 1990
#
# The numbers of Ramana, Murthy and Khan, *Geomagnetic coordinates, time and field in centred and eccentric dipole
# approximations*, Indian Journal of Radio and Space Physics 27 (1998) 35-42, as the author's public toolkit prints
# them (github.com/KasturiMurthy123/geomag_transformations), beside those of `ecgkern.geomag`.
#
# Run it with `python examples/geomag_1998_paper.py [PICTURE]`, or cell by cell in an editor that knows `# %%`.
# It writes one picture, by default `geomag_1998_paper.png` where it is run. That map, the last cell, needs
# `pip install "ecgkern[plot]"`.

# %%
import sys
from pathlib import Path

import numpy as np

from ecgkern import geomag

# In a notebook or an interactive Python the arguments are not ours.
ours = sys.argv[1:] if not hasattr(sys, "ps1") else []
picture = Path(ours[0] if ours else "geomag_1998_paper.png")

# The toolkit takes geographic latitudes as geocentric, and the provisional IGRF of 1990.
given = {"model": "igrf1990-ramana", "coords": "geocentric"}


def show(name, published, ours, decimals=2):
    """Print a number, or several, as published and as computed here."""
    texts = [" ".join(f"{value:.{decimals}f}" for value in np.atleast_1d(values)) for values in (published, ours)]
    print(f"{name:<30}{texts[0]:>29}{texts[1]:>29}")


# %% [markdown]
# ## The dipole
# The reduced moment, the north pole of the axis and the matrix from geographic axes to those of the dipole; then the
# offset of the eccentric dipole, in radii of 6371.2 km and in km.

# %%
dipole = geomag.Dipole.at(model="igrf1990-ramana")
print(f"{'':<30}{'published':>29}{'ecgkern':>29}")
show("B0, nT", 30319.23, dipole.b0)
show("colatitude of the pole, °", 10.87, 90 - dipole.pole.lat)
show("longitude of the pole, °", -71.12, dipole.pole.lon)
show("x' in geographic axes", [0.317857, -0.929187, -0.188621], dipole.rotation[0], 6)
show("y'", [0.946171, 0.323667, 0], dipole.rotation[1], 6)
show("z'", [0.061050, -0.178468, 0.982050], dipole.rotation[2], 6)
show("offset, radii", [-0.062231, 0.042506, 0.029175], dipole.delta, 6)
show("offset, km", 514.8726, dipole.eccentric_distance, 4)
towards = geomag.xyz_to_geo(dipole.offset_km, coords="geocentric")
show("its latitude and longitude, °", [21.1629, 145.6653], [towards.lat, towards.lon], 4)

# %% [markdown]
# ## A point at 12° N, 88° E
# In km along the axes of each frame.

# %%
point = geomag.geo_to_xyz(12.0, 88.0, coords="geocentric")
show("geographic x, y, z", [217.49, 6228.18, 1324.65], point)
for frame, published in {"cd": [-5967.87, 2221.64, 202.62], "ed": [-5555.14, 2509.13, 92.61]}.items():
    show(f"{frame.upper()} x, y, z", published, geomag.transform_xyz(point, "geo", frame, model="igrf1990-ramana"))
cd, ed = geomag.geo_to_cd(12.0, 88.0, **given), geomag.geo_to_ed(12.0, 88.0, **given)
print(f"CD latitude {cd.lat:.4f}°, longitude {cd.lon:.4f}°; ED {ed.lat:.4f}°, {ed.lon:.4f}°, {ed.r:.3f} km")

# %% [markdown]
# ## The field at Bengaluru
# Radially outwards, southwards and eastwards. The toolkit prints a declination of -174.97°, which no dipole has near
# the equator: it is atan2(east, south). Declination is counted from the north, atan2(east, north) = -5.03°.

# %%
bengaluru = 12.9716, 77.5946
field = geomag.dipole_field(*bengaluru, kind="ed", **given)
show("B_r, nT", -2633.44, -field.down)
show("B_theta, nT", -33224.45, -field.north)
show("B_lambda, nT", -2923.01, field.east)
show("inclination, °", 4.51, field.inclination)
show("declination, °", -174.97, field.declination)
show("atan2(east, south), °", -174.97, np.degrees(np.arctan2(field.east, -field.north)))

# %% [markdown]
# ## Local times at Bengaluru
# The toolkit computes for the moment at which it is run, and prints no date. 2025-10-07 fits all three of its times,
# within a second.
# It puts the Sun of the eccentric dipole at the subsolar point on the surface. As a direction, which is that of the
# definition by Cole and Simonow (Nature 199 (1963) 1279), it gives a time that is a constant of the station away from
# the one of the centred dipole.

# %%
moment = np.datetime64("2025-10-07T08:50:18")


def clock(hours):
    """Return hours:minutes:seconds."""
    tenths = round(36000 * hours)
    return f"{tenths // 36000:02d}:{tenths // 600 % 60:02d}:{tenths % 600 / 10:04.1f}"


times = {
    "apparent solar time": ("14:12:53", geomag.apparent_solar_time(bengaluru[1], moment)),
    "CD time": ("14:21:41", geomag.magnetic_local_time(*bengaluru, moment, kind="cd", **given)),
    "ED time, Sun on the surface": (
        "14:22:26",
        geomag.magnetic_local_time(*bengaluru, moment, kind="ed", sun="surface", **given),
    ),
    "ED time, Sun as a direction": ("", geomag.magnetic_local_time(*bengaluru, moment, kind="ed", **given)),
}
for name, (published, hours) in times.items():
    print(f"{name:<30}{published:>29}{clock(hours):>29}")

# %% [markdown]
# ## The poles
# Where the axis of the eccentric dipole meets the sphere, and where its field is vertical there. The picture of the
# toolkit has the points of the axis that are one radius from the dipole, as seen from the centre of the Earth.

# %%
poles = geomag.poles(model="igrf1990-ramana")
show("ED axis, north: lat, lon", [82.34, -90.5], poles.ed_axial_north)
show("ED axis, south: lat, lon", [], poles.ed_axial_south)
show("ED field vertical, north", [], poles.ed_dip_north)
show("ED field vertical, south", [], poles.ed_dip_south)

# %% [markdown]
# ## The map
# Latitude and longitude of both dipoles, where their lines meet the Earth: `ed_to_geo` with `alt=0`. The coasts are
# where the picture of the Earth that comes with cartopy turns from blue to other colours; `ax.coastlines()` would draw
# finer ones, and download them at first use.

# %%
import cartopy  # noqa: E402
import cartopy.crs as ccrs  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.image import imread  # noqa: E402

figure = Figure(figsize=(9, 5.6), layout="constrained")
ax = figure.add_subplot(projection=ccrs.Mollweide())
ax.set_global()
ax.gridlines(linestyle=":", color="#999999", linewidth=0.6)


def draw(lon, lat, **style):
    """Draw a line of geographic longitudes and latitudes, with gaps where it leaves the map."""
    x, y, _ = ax.projection.transform_points(ccrs.PlateCarree(), np.asarray(lon), np.asarray(lat)).T
    x[1:][np.abs(np.diff(x)) > 4e6] = np.nan  # m: nobody draws such a step on purpose
    return ax.plot(x, y, scalex=False, scaley=False, **style)


earth = Path(cartopy.config["repo_data_dir"], "raster", "natural_earth", "50-natural-earth-1-downsampled.png")
if earth.exists():
    red, _, blue = imread(earth)[..., :3].transpose(2, 0, 1)
    rows, columns = red.shape
    lat, lon = 90 - 180 / rows * (np.arange(rows) + 0.5), -180 + 360 / columns * (np.arange(columns) + 0.5)
    x, y, _ = ax.projection.transform_points(ccrs.PlateCarree(), *np.meshgrid(lon, lat)).transpose(2, 0, 1)
    ax.contour(x, y, blue - red, [0.2], colors="#555555", linewidths=0.4)

around, along = np.linspace(-180, 180, 1441), np.linspace(-90, 90, 721)
dipoles = {"CD": (geomag.cd_to_geo, "#0072b2", "^"), "ED": (geomag.ed_to_geo, "#d55e00", "s")}
for name, (to_geo, colour, _) in dipoles.items():
    for lat in range(-60, 81, 10):
        ground = to_geo(lat, around, alt=0.0, **given)
        label = f"{name} latitude" if lat == 0 else None
        draw(ground.lon, ground.lat, color=colour, linestyle="--", linewidth=0.7, label=label)
    for lon in range(-180, 180, 30):
        ground = to_geo(along, lon, alt=0.0, **given)
        label = f"{name} longitude" if lon == 0 else None
        draw(ground.lon, ground.lat, color=colour, linewidth=1.1, label=label)

marked = {
    "geographic pole": ([(90, 0), (-90, 0)], "black", "D"),
    "CD pole": ([poles.cd_north, poles.cd_south], *dipoles["CD"][1:]),
    "ED pole": ([poles.ed_axial_north, poles.ed_axial_south], *dipoles["ED"][1:]),
}
for name, (places, colour, marker) in marked.items():
    lat, lon = np.transpose(places)
    x, y, _ = ax.projection.transform_points(ccrs.PlateCarree(), lon, lat).T
    style = {
        "color": colour,
        "markeredgecolor": "white",
        "markersize": 7,
        "zorder": 5 + ("CD" in name),
        "clip_on": False,
    }
    ax.plot(x, y, marker, label=name, **style)
ax.set_title("Centred (CD) and eccentric dipole (ED) coordinates on the ground, IGRF 1990")
figure.legend(loc="outside lower center", ncols=4, frameon=False)
figure.savefig(picture, dpi=100)
print(f"\n{picture}")
