!> The geomag kernel twice, as a loop of the host and as a loop of the device, over one subroutine of a point.
!>
!> A point given by geodetic latitude, longitude and altitude gets its latitude, longitude and distance in the axes of
!> the eccentric dipole, and the dipole's field there, north, east and down. The formulas are those of
!> python/ecgkern/geomag/_dipole.py (A. Schmidt 1934; A. C. Fraser-Smith 1987) and _numpy.py, all in float64.
module offload_geomag
    use kinds, only: f64
    implicit none
    private
    public :: dipole, dipole_of, points_on_host, points_on_device, n_results

    !> The dipole of an epoch.
    type :: dipole
        real(f64) :: b0  ! nT at its equator, an Earth's radius away
        real(f64) :: axis(3, 3)  ! a column per axis, in Earth-fixed axes
        real(f64) :: centre(3)  ! km, in Earth-fixed axes
    end type dipole

    !> g10, g11, h11, g20, g21, h21, g22, h22 of 2025.0 in nT: IGRF-14 of IAGA Division V-MOD, doi
    !> 10.5281/zenodo.14012302.
    real(f64), parameter, public :: igrf14_2025(8) = [-29350.0_f64, -1410.3_f64, 4545.5_f64, -2556.2_f64, &
        2950.9_f64, -3133.6_f64, 1648.7_f64, -814.2_f64]

    real(f64), parameter, public :: earth_radius = 6371.2_f64  ! km, of the coefficients
    real(f64), parameter :: wgs84_a = 6378.137_f64  ! km
    real(f64), parameter :: flattening = 1/298.257223563_f64
    real(f64), parameter :: e2 = flattening*(2 - flattening)
    real(f64), parameter :: radian = 57.295779513082320877_f64  ! degrees
    integer, parameter :: n_results = 6

contains

    !> Moment, axes and centre from eight coefficients.
    pure type(dipole) function dipole_of(coefficients) result(d)
        real(f64), intent(in) :: coefficients(8)
        real(f64), parameter :: root3 = sqrt(3.0_f64)
        real(f64) :: s, e, x, y, z, l(3)

        associate (g10 => coefficients(1), g11 => coefficients(2), h11 => coefficients(3), g20 => coefficients(4), &
                g21 => coefficients(5), h21 => coefficients(6), g22 => coefficients(7), h22 => coefficients(8))
            s = sqrt(g11**2 + h11**2)
            d%b0 = sqrt(s**2 + g10**2)
            x = -g11/s
            y = -h11/s
            z = -g10/d%b0
            s = s/d%b0
            d%axis(:, 1) = [z*x, z*y, -s]
            d%axis(:, 2) = [-y, x, 0.0_f64]
            d%axis(:, 3) = [s*x, s*y, z]
            l = [-g11*g20 + root3*(g10*g21 + g11*g22 + h11*h22), -h11*g20 + root3*(g10*h21 - h11*g22 + g11*h22), &
                2*g10*g20 + root3*(g11*g21 + h11*h21)]
            e = (l(1)*g11 + l(2)*h11 + l(3)*g10)/(4*d%b0**2)
            d%centre = earth_radius*(l - [g11, h11, g10]*e)/(3*d%b0**2)
        end associate
    end function dipole_of

    !> place(i, :) is geodetic latitude and longitude in degrees and altitude in km; found(i, :) latitude and longitude
    !> in degrees and distance in km in the axes of the dipole, then the field north, east and down in nT.
    subroutine points_on_host(n, d, place, found)
        integer, intent(in) :: n
        type(dipole), intent(in) :: d
        real(f64), intent(in) :: place(n, 3)
        real(f64), intent(inout) :: found(n, n_results)
        integer :: i

        !$omp parallel do
        do i = 1, n
            call point(d, place(i, 1), place(i, 2), place(i, 3), found(i, 1), found(i, 2), found(i, 3), found(i, 4), &
                found(i, 5), found(i, 6))
        end do
        !$omp end parallel do
    end subroutine points_on_host

    !> The same on the default device, a thread of the device for a point. The arrays are copied there and back, unless
    !> the caller has them there already (`target data`).
    subroutine points_on_device(n, d, place, found)
        integer, intent(in) :: n
        type(dipole), intent(in) :: d
        real(f64), intent(in) :: place(n, 3)
        real(f64), intent(inout) :: found(n, n_results)
        integer :: i

        !$omp target teams loop private(i) map(to: d, place) map(from: found)
        do i = 1, n
            call point(d, place(i, 1), place(i, 2), place(i, 3), found(i, 1), found(i, 2), found(i, 3), found(i, 4), &
                found(i, 5), found(i, 6))
        end do
        !$omp end target teams loop
    end subroutine points_on_device

    pure subroutine point(d, lat, lon, alt, ed_lat, ed_lon, ed_r, north, east, down)
        !$omp declare target
        type(dipole), intent(in) :: d
        real(f64), intent(in) :: lat, lon, alt
        real(f64), intent(out) :: ed_lat, ed_lon, ed_r, north, east, down
        real(f64) :: sin_lat, cos_lat, sin_lon, cos_lon, normal, across, x, y, z, u, v, w, strength, bx, by, bz, outward

        ! Earth-fixed, from the centre of the dipole.
        call sine_cosine(lat, sin_lat, cos_lat)
        call sine_cosine(lon, sin_lon, cos_lon)
        normal = wgs84_a/sqrt(1 - e2*sin_lat**2)
        across = (normal + alt)*cos_lat
        x = across*cos_lon - d%centre(1)
        y = across*sin_lon - d%centre(2)
        z = (normal*(1 - e2) + alt)*sin_lat - d%centre(3)

        ! Along the axes of the dipole, then as angles.
        u = d%axis(1, 1)*x + d%axis(2, 1)*y + d%axis(3, 1)*z
        v = d%axis(1, 2)*x + d%axis(2, 2)*y + d%axis(3, 2)*z
        w = d%axis(1, 3)*x + d%axis(2, 3)*y + d%axis(3, 3)*z
        across = sqrt(u**2 + v**2)
        ed_r = sqrt(across**2 + w**2)
        ed_lat = atan2(w, across)*radian
        ed_lon = atan2(v, u)*radian
        if (ed_lon <= -180) ed_lon = 180

        ! b = b0 (a/r)**3 (m - 3 (m.e) e), with m along the third axis and e the direction from the dipole.
        strength = d%b0*(earth_radius/ed_r)**3
        w = 3*w/ed_r**2
        bx = strength*(d%axis(1, 3) - w*x)
        by = strength*(d%axis(2, 3) - w*y)
        bz = strength*(d%axis(3, 3) - w*z)
        outward = cos_lon*bx + sin_lon*by
        north = cos_lat*bz - sin_lat*outward
        east = cos_lon*by - sin_lon*bx
        down = -(cos_lat*outward + sin_lat*bz)
    end subroutine point

    !> Whole quarters are taken out in degrees, where that is exact. What is left is within 45 degrees, where the root
    !> gives the cosine to its last digits. (Asked for sine and cosine of one angle, gfortran 12 calls a function that
    !> returns both through memory, which in a loop of the device is the same for 32 threads.)
    pure subroutine sine_cosine(degrees, sine, cosine)
        !$omp declare target
        real(f64), intent(in) :: degrees
        real(f64), intent(out) :: sine, cosine
        real(f64) :: s, c
        integer :: quarters

        quarters = nint(degrees/90)
        s = sin((degrees - 90*quarters)/radian)
        c = sqrt((1 - s)*(1 + s))
        sine = merge(c, s, btest(quarters, 0))
        cosine = merge(s, c, btest(quarters, 0))
        if (btest(quarters, 1)) sine = -sine
        if (btest(quarters + 1, 1)) cosine = -cosine
    end subroutine sine_cosine

end module offload_geomag
