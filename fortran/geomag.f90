!> Positions, fields and local times in the centred and the eccentric dipole: the routines that Python calls. The
!> arithmetic is in geomag_kernels.f90. Arguments arrive checked (python/ecgkern/geomag).
!>
!> An argument of n_... points has one value for all points, or one for each. Coefficients are rows g10, g11, h11, g20,
!> g21, h21, g22, h22 at years first, first + step, ...; `by` says whether one row holds for all (0), or which of years
!> (1) and micros (2), microseconds since 1970, they follow. `rule` says what holds beyond them: 0 linear, 1 the last
!> row, 2 NaN. `outside` counts the blocks of points that have values beyond the limits, lowest and highest, of each of
!> the three numbers of a position; NaN is not.
module geomag
    use kinds, only: f64, i32, i64
    use geomag_kernels, only: convert_points, find_fields, find_subsolar, find_tilts, find_hours, find_outer_hours
    implicit none
    private
    public :: convert, fields, subsolar, tilts, local_times, local_times_outer

contains

    !> Positions of one form in another: python/ecgkern/geomag/_points.py numbers the forms.
    subroutine convert(n, n_a, n_b, n_c, n_years, n_micros, n_rows, n_threads, source, to, by, rule, first, step, &
            limits, rows, a, b, c, years, micros, p, q, r, outside)
        !f2py threadsafe
        integer(i64), intent(in) :: n, n_a, n_b, n_c, n_years, n_micros, n_rows, n_threads
        integer(i32), intent(in) :: source, to, by, rule
        real(f64), intent(in) :: first, step, limits(2, 3), rows(8, n_rows), a(n_a), b(n_b), c(n_c), years(n_years)
        integer(i64), intent(in) :: micros(n_micros)
        real(f64), intent(inout) :: p(n), q(n), r(n)
        integer(i64), intent(out) :: outside

        call convert_points(n_threads, source, to, by, rule, first, step, limits, rows, a, b, c, years, micros, p, q, &
            r, outside)
    end subroutine convert

    !> The elements of the field, in the geodetic or the geocentric local frame.
    subroutine fields(n, n_lat, n_lon, n_alt, n_years, n_micros, n_rows, n_threads, eccentric, geodetic, by, rule, &
            first, step, limits, rows, lat, lon, alt, years, micros, north, east, down, horizontal, total, &
            declination, inclination, outside)
        !f2py threadsafe
        integer(i64), intent(in) :: n, n_lat, n_lon, n_alt, n_years, n_micros, n_rows, n_threads
        integer(i32), intent(in) :: eccentric, geodetic, by, rule
        real(f64), intent(in) :: first, step, limits(2, 3), rows(8, n_rows)
        real(f64), intent(in) :: lat(n_lat), lon(n_lon), alt(n_alt), years(n_years)
        integer(i64), intent(in) :: micros(n_micros)
        real(f64), intent(inout) :: north(n), east(n), down(n), horizontal(n), total(n), declination(n), inclination(n)
        integer(i64), intent(out) :: outside

        call find_fields(n_threads, eccentric /= 0, geodetic /= 0, by, rule, first, step, limits, rows, lat, lon, alt, &
            years, micros, north, east, down, horizontal, total, declination, inclination, outside)
    end subroutine fields

    !> The subsolar point.
    subroutine subsolar(n, n_micros, n_threads, algorithm, micros, lat, lon)
        !f2py threadsafe
        integer(i64), intent(in) :: n, n_micros, n_threads
        integer(i32), intent(in) :: algorithm
        integer(i64), intent(in) :: micros(n_micros)
        real(f64), intent(inout) :: lat(n), lon(n)

        call find_subsolar(n_threads, algorithm, micros, lat, lon)
    end subroutine subsolar

    !> The tilt of the dipole.
    subroutine tilts(n, n_years, n_micros, n_rows, n_threads, algorithm, by, rule, first, step, rows, years, micros, &
            tilt)
        !f2py threadsafe
        integer(i64), intent(in) :: n, n_years, n_micros, n_rows, n_threads
        integer(i32), intent(in) :: algorithm, by, rule
        real(f64), intent(in) :: first, step, rows(8, n_rows), years(n_years)
        integer(i64), intent(in) :: micros(n_micros)
        real(f64), intent(inout) :: tilt(n)

        call find_tilts(n_threads, algorithm, by, rule, first, step, rows, years, micros, tilt)
    end subroutine tilts

    !> Magnetic local time in hours, of points at their times.
    subroutine local_times(n, n_lat, n_lon, n_alt, n_years, n_micros, n_rows, n_threads, eccentric, surface, geodetic, &
            algorithm, by, rule, first, step, limits, rows, lat, lon, alt, years, micros, hours, outside)
        !f2py threadsafe
        integer(i64), intent(in) :: n, n_lat, n_lon, n_alt, n_years, n_micros, n_rows, n_threads
        integer(i32), intent(in) :: eccentric, surface, geodetic, algorithm, by, rule
        real(f64), intent(in) :: first, step, limits(2, 3), rows(8, n_rows)
        real(f64), intent(in) :: lat(n_lat), lon(n_lon), alt(n_alt), years(n_years)
        integer(i64), intent(in) :: micros(n_micros)
        real(f64), intent(inout) :: hours(n)
        integer(i64), intent(out) :: outside

        call find_hours(n_threads, eccentric /= 0, surface /= 0, geodetic /= 0, algorithm, by, rule, first, step, &
            limits, rows, lat, lon, alt, years, micros, hours, outside)
    end subroutine local_times

    !> Magnetic local time in hours, of every point at every time, from the place (first_point, first_time) of hours on:
    !> along its first axis are the points if points_last, else the times.
    subroutine local_times_outer(n_inner, n_outer, n_points, n_times, n_rows, n_threads, eccentric, surface, geodetic, &
            algorithm, by, rule, first, step, limits, rows, points_last, first_point, first_time, lat, lon, alt, &
            micros, hours, outside)
        !f2py threadsafe
        integer(i64), intent(in) :: n_inner, n_outer, n_points, n_times, n_rows, n_threads, first_point, first_time
        integer(i32), intent(in) :: eccentric, surface, geodetic, algorithm, by, rule, points_last
        real(f64), intent(in) :: first, step, limits(2, 3), rows(8, n_rows)
        real(f64), intent(in) :: lat(n_points), lon(n_points), alt(n_points)
        integer(i64), intent(in) :: micros(n_times)
        real(f64), intent(inout) :: hours(n_inner, n_outer)
        integer(i64), intent(out) :: outside

        call find_outer_hours(n_threads, eccentric /= 0, surface /= 0, geodetic /= 0, algorithm, by, rule, first, &
            step, limits, rows, points_last /= 0, first_point, first_time, lat, lon, alt, micros, hours, outside)
    end subroutine local_times_outer

end module geomag
