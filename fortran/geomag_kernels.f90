!> The kernels of the geomag family: positions, fields and local times in the centred and the eccentric dipole.
!>
!> Points are taken by blocks that stay in the first-level cache, and a block goes through steps: angles to sines,
!> sines to a cartesian vector, the vector into the frame of the dipole, and back to angles. Each step is a short loop
!> over the block that a compiler turns into vector instructions; libm's functions would be called point by point.

!> Sines, cosines and arc tangents in degrees.
!>
!> Polynomials: minimax, found by Remez exchange at 70 digits, over 45 degrees for sine and cosine (3e-18 and 5e-20)
!> and up to tan(22.5 degrees) for the arc tangent (1e-18), so that rounding is all the error there is.
module degrees
    use kinds, only: f64, i64
    implicit none
    private
    public :: sine_cosine, arc_tangent, rounded_down, radian

    real(f64), parameter :: radian = 57.295779513082320877_f64  ! degrees
    real(f64), parameter :: shifter = 6755399441055744.0_f64  ! 1.5 * 2**52: a sum with it is a rounded number

contains

    !> Sine and cosine, exact at multiples of 90 degrees: those are taken out in degrees, where that is exact.
    elemental subroutine sine_cosine(angle, sine, cosine)
        real(f64), intent(in) :: angle
        real(f64), intent(out) :: sine, cosine
        real(f64) :: shifted, x, z, w, s, c
        integer(i64) :: quarters

        shifted = angle*(1/90.0_f64) + shifter
        quarters = transfer(shifted, 0_i64)
        x = (angle - 90*(shifted - shifter))*0.017453292519943295769_f64
        z = x*x
        w = z*z
        s = x + x*z*(-0.16666666666666632069_f64 + w*(-0.00019841269829817092631_f64 &
            + w*(-2.505075865974244898e-8_f64)) &
            + z*(0.0083333333333224247047_f64 + w*(2.7557313695272419786e-6_f64 + w*1.5896828260596813239e-10_f64)))
        c = 1 - 0.5_f64*z + w*(0.041666666666666599561_f64 + w*(0.000024801587289492224039_f64 &
            + w*2.0875723697291141158e-9_f64) + z*(-0.0013888888888874139333_f64 + w*(-2.7557314355346018168e-7_f64 &
            - w*1.1359670472595257734e-11_f64)))
        sine = merge(c, s, iand(quarters, 1_i64) /= 0)
        cosine = merge(s, c, iand(quarters, 1_i64) /= 0)
        sine = merge(-sine, sine, iand(quarters, 2_i64) /= 0)
        cosine = merge(-cosine, cosine, iand(quarters + 1, 2_i64) /= 0)
    end subroutine sine_cosine

    !> The angle of the point (x, y) in [-180, 180] degrees; 0 at the origin.
    elemental real(f64) function arc_tangent(y, x) result(angle)
        real(f64), intent(in) :: y, x
        real(f64), parameter :: tan_eighth = 0.41421356237309504880_f64  ! tan(22.5 degrees)
        real(f64) :: large, small, t, z, w, even, odd
        logical :: beyond

        large = max(abs(x), abs(y))
        small = min(abs(x), abs(y))
        beyond = small > tan_eighth*large  ! 45 degrees less the angle then has a small tangent
        t = merge(small - large, small, beyond)/merge(small + large, large + tiny(large), beyond)
        z = t*t
        w = z*z
        ! Two sums, of every other power: half the wait for each other's results.
        even = -0.33333333333333199111_f64 + w*(-0.14285714280248470689_f64 + w*(-0.090908978364231547439_f64 &
            + w*(-0.06663120385109521154_f64 + w*(-0.050398457006138699252_f64 - w*0.017922287384526697588_f64))))
        odd = 0.19999999999954081774_f64 + w*(0.11111110786136320419_f64 + w*(0.076920616369603664716_f64 &
            + w*(0.058480089432356883295_f64 + w*0.03807832718198360743_f64)))
        t = t + t*z*(even + z*odd)
        angle = t*radian + merge(45.0_f64, 0.0_f64, beyond)
        angle = merge(90 - angle, angle, abs(y) > abs(x))
        angle = merge(180 - angle, angle, x < 0)
        angle = merge(-angle, angle, y < 0) + 0*(x + y)  ! NaN if either is: max and min drop it
    end function arc_tangent

    !> The largest whole number that is not above x.
    elemental real(f64) function rounded_down(x) result(whole)
        real(f64), intent(in) :: x

        whole = (x + shifter) - shifter
        whole = whole - merge(1.0_f64, 0.0_f64, whole > x)
    end function rounded_down

end module degrees

!> What the kernels know of the Earth.
module earth
    use kinds, only: f64
    implicit none
    public

    real(f64), parameter :: earth_radius = 6371.2_f64  ! km, of the coefficients
    real(f64), parameter :: wgs84_a = 6378.137_f64  ! km
    real(f64), parameter :: flattening = 1/298.257223563_f64
    real(f64), parameter :: e2 = flattening*(2 - flattening)
    real(f64), parameter :: axis_ratio = 1 - flattening
    integer, parameter :: block = 64  ! points; larger ones no longer fit the first-level cache with all their arrays
end module earth

!> Epochs and the dipole at each, times and the Sun.
module geomag_times
    use, intrinsic :: ieee_arithmetic, only: ieee_value, ieee_quiet_nan
    use degrees, only: sine_cosine, rounded_down, radian
    use earth, only: block, earth_radius
    use kinds, only: f64, i64
    implicit none
    private
    public :: dipoles, dipole_for_all, dipole_of_each, direction_of_sun, take

    real(f64), parameter :: days_1970_to_2000 = 10957
    ! What the coefficients follow, and what holds beyond their years: python/ecgkern/geomag/_points.py.
    integer, parameter :: fixed = 0, by_years = 1
    integer, parameter :: nearest_row = 1, not_a_number = 2

    !> The dipole at each point of a block: its moment in nT, the direction of its axis, and its offset in km.
    type :: dipoles
        real(f64), dimension(block) :: b0, cos_col, sin_col, cos_lon, sin_lon, dx, dy, dz
    end type dipoles

contains

    !> The dipole of one row of coefficients, for all points of a block.
    pure subroutine dipole_for_all(row, d)
        real(f64), intent(in) :: row(8)
        type(dipoles), intent(out) :: d
        real(f64) :: b0, cos_col, sin_col, cos_lon, sin_lon, dx, dy, dz

        call dipole_of(row(1), row(2), row(3), row(4), row(5), row(6), row(7), row(8), &
            b0, cos_col, sin_col, cos_lon, sin_lon, dx, dy, dz)
        d%b0 = b0
        d%cos_col = cos_col
        d%sin_col = sin_col
        d%cos_lon = cos_lon
        d%sin_lon = sin_lon
        d%dx = dx
        d%dy = dy
        d%dz = dz
    end subroutine dipole_for_all

    !> The dipole at the epoch of each of n points, from start: linear between the rows, which are step years apart.
    !> Nothing changes where one row holds for all.
    subroutine dipole_of_each(n, start, by, rule, first, step, rows, years, micros, d)
        integer, intent(in) :: n, by, rule
        integer(i64), intent(in) :: start
        integer(i64), intent(in), contiguous :: micros(:)
        real(f64), intent(in) :: first, step
        real(f64), intent(in), contiguous :: rows(:, :), years(:)
        type(dipoles), intent(inout) :: d
        real(f64) :: year(block), day(block), part(block)

        if (by == fixed) return
        if (by == by_years) then
            call take(n, start, years, year)
        else
            call split_time(n, start, micros, day, part)
            call decimal_years(n, day, part, year)
        end if
        call interpolate(n, rule, first, step, size(rows, 2), rows, year, d)
    end subroutine dipole_of_each

    !> The dipole at decimal years: linear between the rows, and beyond them by the rule.
    subroutine interpolate(n, rule, first, step, n_rows, rows, year, d)
        integer, intent(in) :: n, rule, n_rows
        real(f64), intent(in) :: first, step, rows(8, n_rows), year(n)
        type(dipoles), intent(inout) :: d
        real(f64) :: position, w, last, nan
        integer :: i, k

        nan = ieee_value(nan, ieee_quiet_nan)
        last = n_rows - 1
        !$omp simd private(position, w, k)
        do i = 1, n
            position = (year(i) - first)/step
            if (rule == nearest_row) position = merge(0.0_f64, merge(last, position, position > last), position < 0)
            if (rule == not_a_number) position = merge(position, nan, position >= 0 .and. position <= last)
            w = rounded_down(position)
            k = int(min(merge(w, 0.0_f64, w > 0), last - 1)) + 1  ! any row where the year is NaN
            w = position - real(k - 1, f64)
            call dipole_of((1 - w)*rows(1, k) + w*rows(1, k + 1), (1 - w)*rows(2, k) + w*rows(2, k + 1), &
                (1 - w)*rows(3, k) + w*rows(3, k + 1), (1 - w)*rows(4, k) + w*rows(4, k + 1), &
                (1 - w)*rows(5, k) + w*rows(5, k + 1), (1 - w)*rows(6, k) + w*rows(6, k + 1), &
                (1 - w)*rows(7, k) + w*rows(7, k + 1), (1 - w)*rows(8, k) + w*rows(8, k + 1), &
                d%b0(i), d%cos_col(i), d%sin_col(i), d%cos_lon(i), d%sin_lon(i), d%dx(i), d%dy(i), d%dz(i))
        end do
    end subroutine interpolate

    !> Moment, axis and offset: the formulas stand in python/ecgkern/geomag/_dipole.py.
    elemental subroutine dipole_of(g10, g11, h11, g20, g21, h21, g22, h22, b0, cos_col, sin_col, cos_lon, sin_lon, &
            dx, dy, dz)
        real(f64), intent(in) :: g10, g11, h11, g20, g21, h21, g22, h22
        real(f64), intent(out) :: b0, cos_col, sin_col, cos_lon, sin_lon, dx, dy, dz
        real(f64), parameter :: root3 = 1.7320508075688772935_f64
        real(f64) :: s, inverse, l0, l1, l2, e

        s = sqrt(g11*g11 + h11*h11)
        b0 = sqrt(g10*g10 + g11*g11 + h11*h11)
        inverse = 1/merge(s, 1.0_f64, s > 0)
        cos_lon = merge(-g11*inverse, 1.0_f64, s > 0)
        sin_lon = -h11*inverse
        inverse = 1/b0
        cos_col = -g10*inverse
        sin_col = s*inverse
        l0 = 2*g10*g20 + root3*(g11*g21 + h11*h21)
        l1 = -g11*g20 + root3*(g10*g21 + g11*g22 + h11*h22)
        l2 = -h11*g20 + root3*(g10*h21 - h11*g22 + g11*h22)
        inverse = inverse*inverse
        e = (l0*g10 + l1*g11 + l2*h11)*inverse/4
        inverse = earth_radius/3*inverse
        dx = (l1 - g11*e)*inverse
        dy = (l2 - h11*e)*inverse
        dz = (l0 - g10*e)*inverse
    end subroutine dipole_of

    !> Values of n points, from start, of an argument that may have one value for all.
    pure subroutine take(n, start, given, values)
        integer, intent(in) :: n
        integer(i64), intent(in) :: start
        real(f64), intent(in), contiguous :: given(:)
        real(f64), intent(out) :: values(n)

        if (size(given) == 1) then
            values = given(1)
        else
            values = given(start:start + n - 1)
        end if
    end subroutine take

    !> Days since 2000-01-01 and the part of the day; NaN where the time is missing. Microseconds are taken 8192 at a
    !> time, as a day holds a whole number of those and float64 holds all of them exactly.
    subroutine split_time(n, start, micros, day, part)
        integer, intent(in) :: n
        integer(i64), intent(in) :: start
        integer(i64), intent(in), contiguous :: micros(:)
        real(f64), intent(out) :: day(n), part(n)
        integer(i64), parameter :: missing = -huge(missing) - 1
        real(f64), parameter :: day_length = 10546875  ! times 8192 microseconds
        real(f64) :: nan, ticks
        integer(i64) :: time(block)
        integer :: i

        nan = ieee_value(nan, ieee_quiet_nan)
        if (size(micros) == 1) then
            time(1:n) = micros(1)
        else
            time(1:n) = micros(start:start + n - 1)
        end if
        !$omp simd private(ticks)
        do i = 1, n
            ticks = real(shifta(time(i), 13), f64)
            day(i) = rounded_down(ticks/day_length)
            part(i) = ((ticks - day(i)*day_length) + real(iand(time(i), 8191_i64), f64)/8192)/day_length
            day(i) = merge(nan, day(i) - days_1970_to_2000, time(i) == missing)
        end do
    end subroutine split_time

    !> Decimal years, of the calendar's years and their 365 or 366 days.
    pure subroutine decimal_years(n, day, part, year)
        integer, intent(in) :: n
        real(f64), intent(in) :: day(n), part(n)
        real(f64), intent(out) :: year(n)
        real(f64) :: since_2000, start
        integer :: i

        !$omp simd private(since_2000, start)
        do i = 1, n
            since_2000 = rounded_down((day(i) + 0.5_f64)*(1/365.2425_f64))  ! or a year off, near its ends
            since_2000 = since_2000 - merge(1.0_f64, 0.0_f64, day(i) < new_year(since_2000))
            since_2000 = since_2000 + merge(1.0_f64, 0.0_f64, day(i) >= new_year(since_2000 + 1))
            start = new_year(since_2000)
            year(i) = 2000 + since_2000 + (day(i) - start + part(i))/(new_year(since_2000 + 1) - start)
        end do
    end subroutine decimal_years

    !> Days from 2000-01-01 to 1 January of a year counted from 2000.
    elemental real(f64) function new_year(y) result(day)
        real(f64), intent(in) :: y

        day = 365*y + rounded_down((y + 3)/4) - rounded_down((y + 99)/100) + rounded_down((y + 399)/400)
    end function new_year

    !> The direction to the Sun in Earth-fixed axes at the times of n points, from start. Ecliptic longitude, obliquity
    !> and the rotation of the Earth are those of the Astronomical Almanac for 1996 or of Grena (2012), algorithm 5.
    subroutine direction_of_sun(n, start, algorithm, micros, x, y, z)
        integer, intent(in) :: n, algorithm
        integer(i64), intent(in) :: start
        integer(i64), intent(in), contiguous :: micros(:)
        real(f64), intent(out) :: x(n), y(n), z(n)
        real(f64), dimension(block) :: day, part, longitude, obliquity, turned
        real(f64) :: s, c, sin_obliquity, cos_obliquity, sin_turned, cos_turned
        integer :: i

        call split_time(n, start, micros, day, part)
        if (algorithm == 0) then
            call almanac(n, day, part, longitude, obliquity, turned)
        else
            call grena5(n, day, part, longitude, obliquity, turned)
        end if
        !$omp simd private(s, c, sin_obliquity, cos_obliquity, sin_turned, cos_turned)
        do i = 1, n
            call sine_cosine(longitude(i), s, c)
            call sine_cosine(obliquity(i), sin_obliquity, cos_obliquity)
            call sine_cosine(turned(i), sin_turned, cos_turned)
            x(i) = c*cos_turned + cos_obliquity*s*sin_turned
            y(i) = cos_obliquity*s*cos_turned - c*sin_turned
            z(i) = sin_obliquity*s
        end do
    end subroutine direction_of_sun

    !> In degrees. The almanac counts days n from noon of 2000-01-01; the whole turns of its rates, a degree a day, are
    !> taken out before they cost digits.
    pure subroutine almanac(n_points, day, part, longitude, obliquity, turned)
        integer, intent(in) :: n_points
        real(f64), intent(in) :: day(n_points), part(n_points)
        real(f64), intent(out) :: longitude(n_points), obliquity(n_points), turned(n_points)
        real(f64) :: n, whole, mean, s, c
        integer :: i

        !$omp simd private(n, whole, mean, s, c)
        do i = 1, n_points
            n = day(i) + (part(i) - 0.5_f64)
            whole = day(i) - 360*rounded_down(day(i)*(1/360.0_f64)) + (part(i) - 0.5_f64)
            mean = 280.451_f64 + whole - 0.0143526_f64*n
            call sine_cosine(357.528_f64 + whole - 0.0143997_f64*n, s, c)
            longitude(i) = mean + 1.915_f64*s + 0.040_f64*s*c
            obliquity(i) = 23.439_f64 - 4e-7_f64*n
            turned(i) = mean + 180 + 360*part(i)
        end do
    end subroutine almanac

    !> In degrees, though Grena writes radians. Days t count from 2060, terrestrial time is 69.2 s ahead. As above, the
    !> whole turns of rates close to a degree a day, or to a turn a day, are taken out.
    pure subroutine grena5(n, day, part, longitude, obliquity, turned)
        integer, intent(in) :: n
        real(f64), intent(in) :: day(n), part(n)
        real(f64), intent(out) :: longitude(n), obliquity(n), turned(n)
        real(f64), parameter :: size(7) = [1.27e-5_f64, 1.21e-5_f64, 2.33e-5_f64, 3.49e-5_f64, 2.67e-5_f64, &
            1.28e-5_f64, 3.14e-5_f64]
        real(f64), parameter :: rate(7) = [1.49e-3_f64, 4.31e-3_f64, 1.076e-2_f64, 1.575e-2_f64, 2.152e-2_f64, &
            3.152e-2_f64, 2.1277e-1_f64]
        real(f64), parameter :: phase(7) = [-2.337_f64, 3.065_f64, -1.533_f64, -2.358_f64, 0.074_f64, 1.547_f64, &
            -0.488_f64]
        real(f64), parameter :: ahead = 1.1574e-5_f64*69.2_f64
        real(f64) :: t, te, s1, c1, s2, c2, s3, c3, s, c, shift, whole
        integer :: i, k

        !$omp simd private(te, s1, c1, s2, c2, s3, c3, s, c)
        do i = 1, n
            te = day(i) - 21915 + part(i) + ahead
            call sine_cosine(radian*(0.0172019715_f64*te), s1, c1)
            s2 = 2*s1*c1
            c2 = (c1 + s1)*(c1 - s1)
            s3 = s2*c1 + c2*s1
            c3 = c2*c1 - s2*s1
            call sine_cosine(radian*(2.92e-5_f64*te), s, c)
            longitude(i) = 3.33024e-2_f64*s1 - 2.0582e-3_f64*c1 + 3.512e-4_f64*s2 - 4.07e-5_f64*c2 + 5.2e-6_f64*s3 &
                - 9e-7_f64*c3 - 8.23e-5_f64*s1*s
        end do
        do k = 1, 7
            !$omp simd private(te, s, c)
            do i = 1, n
                te = day(i) - 21915 + part(i) + ahead
                call sine_cosine(radian*(rate(k)*te + phase(k)), s, c)
                longitude(i) = longitude(i) + size(k)*s
            end do
        end do
        !$omp simd private(t, te, s, c, shift, whole)
        do i = 1, n
            t = day(i) - 21915 + part(i)
            te = t + ahead
            whole = day(i) - 21915
            whole = whole - 360*rounded_down(whole*(1/360.0_f64)) + part(i)
            call sine_cosine(radian*(9.282e-4_f64*te - 0.8_f64), s, c)
            shift = 8.34e-5_f64*s
            ! 1.7202792159e-2 and 6.300388099 radians a day, less a degree a day and less a degree and a turn a day.
            longitude(i) = radian*(1.7527901_f64 + longitude(i) + shift) + 180 + whole + ahead &
                - 0.0143526134485546125_f64*te
            obliquity(i) = radian*(4.089567e-1_f64 - 6.19e-9_f64*te + 4.46e-5_f64*c)
            turned(i) = radian*(1.7528311_f64 + 0.92_f64*shift) + whole + 360*part(i) - 0.0143526328481307405_f64*t
        end do
    end subroutine grena5

end module geomag_times

!> The steps that a block of points goes through, and the loops over blocks.
module geomag_kernels
    use, intrinsic :: ieee_arithmetic, only: ieee_value, ieee_quiet_nan
    use degrees, only: sine_cosine, arc_tangent
    use earth, only: block, earth_radius, wgs84_a, e2, axis_ratio
    use geomag_times, only: dipoles, dipole_for_all, dipole_of_each, direction_of_sun, take
    use kinds, only: f64, i64
    implicit none
    private
    public :: convert_points, find_fields, find_subsolar, find_tilts, find_hours, find_outer_hours

    integer, parameter :: geodetic_steps = 4, ray_steps = 3
    real(f64), parameter :: nearest = 60  ! km from the centre of the Earth, for geodetic coordinates
    real(f64), parameter :: ray_tolerance = 1e-6_f64  ! km that the last step may change

    ! What three numbers of a position are: python/ecgkern/geomag/_points.py.
    integer, parameter :: geodetic = 0, geocentric = 1, geo_xyz = 2, cd = 3, cd_xyz = 4, ed = 5, ed_xyz = 6, &
        cd_ray = 7, ed_ray = 8

    !> Sines and cosines of the latitudes and longitudes of a block.
    type :: angles
        real(f64), dimension(block) :: sin_lat, cos_lat, sin_lon, cos_lon
    end type angles

contains

    !> Positions of one form in another.
    recursive subroutine convert_points(n_threads, source, target, by, rule, first, step, limits, rows, a, b, c, &
            years, micros, p, q, r, outside)
        integer(i64), intent(in) :: n_threads
        integer(i64), intent(in), contiguous :: micros(:)
        integer, intent(in) :: source, target, by, rule
        real(f64), intent(in) :: first, step, limits(2, 3)
        real(f64), intent(in), contiguous :: rows(:, :), a(:), b(:), c(:), years(:)
        real(f64), intent(inout), contiguous :: p(:), q(:), r(:)
        integer(i64), intent(out) :: outside
        type(dipoles) :: d
        integer(i64) :: start

        outside = 0
        call dipole_for_all(rows(:, 1), d)
        !$omp parallel do num_threads(n_threads) schedule(dynamic, 512) firstprivate(d) reduction(+:outside)
        do start = 1, size(p, kind=i64), block
            call convert_block(start, source, target, by, rule, first, step, rows, a, b, c, years, micros, d, p, q, r)
            call count_outside(start, limits, a, b, c, outside)  ! after the rest, as the block is in the cache then
        end do
        !$omp end parallel do
    end subroutine convert_points

    recursive subroutine convert_block(start, source, target, by, rule, first, step, rows, a, b, c, years, micros, d, &
            p, q, r)
        integer(i64), intent(in) :: start
        integer(i64), intent(in), contiguous :: micros(:)
        integer, intent(in) :: source, target, by, rule
        real(f64), intent(in) :: first, step
        real(f64), intent(in), contiguous :: rows(:, :), a(:), b(:), c(:), years(:)
        type(dipoles), intent(inout) :: d
        real(f64), intent(inout), contiguous :: p(:), q(:), r(:)
        real(f64), dimension(block) :: x, y, z, height
        type(angles) :: at
        integer :: n

        n = int(min(int(block, i64), size(p, kind=i64) - start + 1))
        call dipole_of_each(n, start, by, rule, first, step, rows, years, micros, d)
        select case (source)
        case (geodetic, geocentric)
            call find_angles(n, start, a, b, at)
            call take(n, start, c, height)
            call geographic(n, source == geodetic, at, height, x, y, z)
        case (geo_xyz, cd_xyz, ed_xyz)
            call take(n, start, a, x)
            call take(n, start, b, y)
            call take(n, start, c, z)
        case default
            call find_angles(n, start, a, b, at)
            call take(n, start, c, height)
            call on_sphere(n, 0.0_f64, source == cd_ray .or. source == ed_ray, at, height, x, y, z)
        end select
        if (source >= cd) call turn_back(n, d, x, y, z)
        if (source == cd_ray .or. source == ed_ray) &
            call meet(n, target == geodetic, source == ed_ray, d, height, x, y, z)
        if (source == ed .or. source == ed_xyz) call move(n, 1.0_f64, d, x, y, z)
        if (target == ed .or. target == ed_xyz) call move(n, -1.0_f64, d, x, y, z)
        if (target >= cd) call turn(n, d, x, y, z)
        select case (target)
        case (geodetic)
            call to_geodetic(n, x, y, z, p(start:), q(start:), r(start:))
        case (geocentric, cd, ed)
            call to_sphere(n, x, y, z, p(start:), q(start:))
            if (source == geocentric .and. target == cd) then  ! a rotation
                r(start:start + n - 1) = earth_radius + height(1:n)
            else
                call to_length(n, merge(earth_radius, 0.0_f64, target == geocentric), x, y, z, r(start:))
            end if
        case default
            p(start:start + n - 1) = x(1:n)
            q(start:start + n - 1) = y(1:n)
            r(start:start + n - 1) = z(1:n)
        end select
    end subroutine convert_block

    !> The elements of the field of the eccentric or the centred dipole.
    recursive subroutine find_fields(n_threads, eccentric, in_geodetic, by, rule, first, step, limits, rows, lat, lon, &
            alt, years, micros, north, east, down, horizontal, total, declination, inclination, outside)
        integer(i64), intent(in) :: n_threads
        integer(i64), intent(in), contiguous :: micros(:)
        logical, intent(in) :: eccentric, in_geodetic
        integer, intent(in) :: by, rule
        real(f64), intent(in) :: first, step, limits(2, 3)
        real(f64), intent(in), contiguous :: rows(:, :), lat(:), lon(:), alt(:), years(:)
        real(f64), intent(inout), dimension(:), contiguous :: north, east, down, horizontal, total, declination, &
            inclination
        integer(i64), intent(out) :: outside
        type(dipoles) :: d
        type(angles) :: at
        real(f64), dimension(block) :: x, y, z, height
        integer(i64) :: start
        integer :: n

        outside = 0
        call dipole_for_all(rows(:, 1), d)
        !$omp parallel do num_threads(n_threads) schedule(dynamic, 512) firstprivate(d) private(n, at, height, x, y, z) &
        !$omp& reduction(+:outside)
        do start = 1, size(north, kind=i64), block
            n = int(min(int(block, i64), size(north, kind=i64) - start + 1))
            call dipole_of_each(n, start, by, rule, first, step, rows, years, micros, d)
            call find_angles(n, start, lat, lon, at)
            call take(n, start, alt, height)
            call geographic(n, in_geodetic, at, height, x, y, z)
            if (eccentric) call move(n, -1.0_f64, d, x, y, z)
            call field_at(n, d, at, x, y, z, north(start:), east(start:), down(start:), horizontal(start:), &
                total(start:), declination(start:), inclination(start:))
            call count_outside(start, limits, lat, lon, alt, outside)
        end do
        !$omp end parallel do
    end subroutine find_fields

    !> The subsolar point.
    recursive subroutine find_subsolar(n_threads, algorithm, micros, lat, lon)
        integer(i64), intent(in) :: n_threads
        integer(i64), intent(in), contiguous :: micros(:)
        integer, intent(in) :: algorithm
        real(f64), intent(inout), contiguous :: lat(:), lon(:)
        real(f64), dimension(block) :: x, y, z
        integer(i64) :: start
        integer :: n

        !$omp parallel do num_threads(n_threads) schedule(dynamic, 512) private(n, x, y, z)
        do start = 1, size(lat, kind=i64), block
            n = int(min(int(block, i64), size(lat, kind=i64) - start + 1))
            call direction_of_sun(n, start, algorithm, micros, x, y, z)
            call to_sphere(n, x, y, z, lat(start:), lon(start:))
        end do
        !$omp end parallel do
    end subroutine find_subsolar

    !> The tilt of the dipole: the latitude of the Sun in its axes.
    recursive subroutine find_tilts(n_threads, algorithm, by, rule, first, step, rows, years, micros, tilt)
        integer(i64), intent(in) :: n_threads
        integer(i64), intent(in), contiguous :: micros(:)
        integer, intent(in) :: algorithm, by, rule
        real(f64), intent(in) :: first, step
        real(f64), intent(in), contiguous :: rows(:, :), years(:)
        real(f64), intent(inout), contiguous :: tilt(:)
        type(dipoles) :: d
        real(f64), dimension(block) :: x, y, z
        integer(i64) :: start
        integer :: n, i

        call dipole_for_all(rows(:, 1), d)
        !$omp parallel do num_threads(n_threads) schedule(dynamic, 512) firstprivate(d) private(n, i, x, y, z)
        do start = 1, size(tilt, kind=i64), block
            n = int(min(int(block, i64), size(tilt, kind=i64) - start + 1))
            call dipole_of_each(n, start, by, rule, first, step, rows, years, micros, d)
            call direction_of_sun(n, start, algorithm, micros, x, y, z)
            call turn(n, d, x, y, z)
            !$omp simd
            do i = 1, n
                tilt(start + i - 1) = arc_tangent(z(i), sqrt(x(i)*x(i) + y(i)*y(i)))
            end do
        end do
        !$omp end parallel do
    end subroutine find_tilts

    !> The magnetic local time of points, each at its time.
    recursive subroutine find_hours(n_threads, eccentric, surface, in_geodetic, algorithm, by, rule, first, step, &
            rows, lat, lon, alt, years, micros, hours)
        integer(i64), intent(in) :: n_threads
        integer(i64), intent(in), contiguous :: micros(:)
        logical, intent(in) :: eccentric, surface, in_geodetic
        integer, intent(in) :: algorithm, by, rule
        real(f64), intent(in) :: first, step
        real(f64), intent(in), contiguous :: rows(:, :), lat(:), lon(:), alt(:), years(:)
        real(f64), intent(inout), contiguous :: hours(:)
        type(dipoles) :: d
        type(angles) :: at
        real(f64), dimension(block) :: height, x, y, z, of_point, of_sun
        integer(i64) :: start
        integer :: n, i

        call dipole_for_all(rows(:, 1), d)
        !$omp parallel do num_threads(n_threads) schedule(dynamic, 512) firstprivate(d) &
        !$omp private(n, i, at, height, x, y, z, of_point, of_sun)
        do start = 1, size(hours, kind=i64), block
            n = int(min(int(block, i64), size(hours, kind=i64) - start + 1))
            call dipole_of_each(n, start, by, rule, first, step, rows, years, micros, d)
            call find_angles(n, start, lat, lon, at)
            call take(n, start, alt, height)
            call geographic(n, in_geodetic, at, height, x, y, z)
            if (eccentric) call move(n, -1.0_f64, d, x, y, z)
            call dipole_longitude(n, d, x, y, z, of_point)
            call longitude_of_sun(n, start, algorithm, eccentric .and. surface, micros, d, of_sun)
            !$omp simd
            do i = 1, n
                hours(start + i - 1) = hours_from(of_point(i) - of_sun(i))
            end do
        end do
        !$omp end parallel do
    end subroutine find_hours

    !> The magnetic local time of every point at every time, of a tile: hours(points, times) if the points are
    !> the inner loop, else hours(times, points).
    recursive subroutine find_outer_hours(eccentric, surface, in_geodetic, algorithm, by, rule, first, step, &
            rows, points_inner, lat, lon, alt, micros, hours)
        integer(i64), intent(in), contiguous :: micros(:)
        logical, intent(in) :: eccentric, surface, in_geodetic, points_inner
        integer, intent(in) :: algorithm, by, rule
        real(f64), intent(in) :: first, step
        real(f64), intent(in), contiguous :: rows(:, :), lat(:), lon(:), alt(:)
        real(f64), intent(inout), contiguous :: hours(:, :)
        real(f64), dimension(size(lat)) :: x, y, z
        real(f64), dimension(size(micros)) :: xx, xy, xz, yx, yy, x0, y0, of_sun
        real(f64), parameter :: no_years(1) = 0
        type(dipoles) :: d
        type(angles) :: at
        real(f64) :: height(block)
        integer(i64) :: start
        integer :: n, i, j, k

        do start = 1, size(lat, kind=i64), block
            n = int(min(int(block, i64), size(lat, kind=i64) - start + 1))
            call find_angles(n, start, lat, lon, at)
            call take(n, start, alt, height)
            call geographic(n, in_geodetic, at, height, x(start:), y(start:), z(start:))
        end do
        call dipole_for_all(rows(:, 1), d)
        do start = 1, size(micros, kind=i64), block
            n = int(min(int(block, i64), size(micros, kind=i64) - start + 1))
            call dipole_of_each(n, start, by, rule, first, step, rows, no_years, micros, d)
            call longitude_of_sun(n, start, algorithm, eccentric .and. surface, micros, d, of_sun(start:))
            do i = 1, n
                ! The first two rows of the rotation, and where the origin of the frame comes to in them.
                k = int(start) + i - 1
                xx(k) = d%cos_col(i)*d%cos_lon(i)
                xy(k) = d%cos_col(i)*d%sin_lon(i)
                xz(k) = -d%sin_col(i)
                yx(k) = -d%sin_lon(i)
                yy(k) = d%cos_lon(i)
                x0(k) = merge(xx(k)*d%dx(i) + xy(k)*d%dy(i) + xz(k)*d%dz(i), 0.0_f64, eccentric)
                y0(k) = merge(yx(k)*d%dx(i) + yy(k)*d%dy(i), 0.0_f64, eccentric)
            end do
        end do
        do j = 1, size(hours, 2)
            if (points_inner) then
                !$omp simd
                do i = 1, size(hours, 1)
                    hours(i, j) = hours_from(arc_tangent(yx(j)*x(i) + yy(j)*y(i) - y0(j), &
                        xx(j)*x(i) + xy(j)*y(i) + xz(j)*z(i) - x0(j)) - of_sun(j))
                end do
            else
                !$omp simd
                do i = 1, size(hours, 1)
                    hours(i, j) = hours_from(arc_tangent(yx(i)*x(j) + yy(i)*y(j) - y0(i), &
                        xx(i)*x(j) + xy(i)*y(j) + xz(i)*z(j) - x0(i)) - of_sun(i))
                end do
            end if
        end do
    end subroutine find_outer_hours

    ! ---- steps -------------------------------------------------------------------------------------------------------

    !> The numbers of a block of points that are beyond their limits. NaN is not.
    pure subroutine count_outside(start, limits, a, b, c, outside)
        integer(i64), intent(in) :: start
        real(f64), intent(in) :: limits(2, 3)
        real(f64), intent(in), contiguous :: a(:), b(:), c(:)
        integer(i64), intent(inout) :: outside

        call count_beyond(start, limits(:, 1), a, outside)
        call count_beyond(start, limits(:, 2), b, outside)
        call count_beyond(start, limits(:, 3), c, outside)
    end subroutine count_outside

    pure subroutine count_beyond(start, limits, given, beyond)
        integer(i64), intent(in) :: start
        real(f64), intent(in) :: limits(2)
        real(f64), intent(in), contiguous :: given(:)
        integer(i64), intent(inout) :: beyond
        integer(i64) :: i, found
        real(f64) :: low, high

        if (size(given, kind=i64) == 1) return
        low = limits(1)
        high = limits(2)
        found = 0
        !$omp simd reduction(+:found)
        do i = start, min(start + block - 1, size(given, kind=i64))
            found = found + merge(1_i64, 0_i64, given(i) < low) + merge(1_i64, 0_i64, given(i) > high)
        end do
        beyond = beyond + found
    end subroutine count_beyond

    pure subroutine find_angles(n, start, lat, lon, at)
        integer, intent(in) :: n
        integer(i64), intent(in) :: start
        real(f64), intent(in), contiguous :: lat(:), lon(:)
        type(angles), intent(inout) :: at

        call sines_of(n, start, lat, at%sin_lat, at%cos_lat)
        call sines_of(n, start, lon, at%sin_lon, at%cos_lon)
    end subroutine find_angles

    pure subroutine sines_of(n, start, given, s, c)
        integer, intent(in) :: n
        integer(i64), intent(in) :: start
        real(f64), intent(in), contiguous :: given(:)
        real(f64), intent(out) :: s(n), c(n)

        if (size(given) == 1) then
            call sines(1, given, s, c)
            s = s(1)
            c = c(1)
        else
            call sines(n, given(start:), s, c)
        end if
    end subroutine sines_of

    pure subroutine sines(n, degrees, s, c)
        integer, intent(in) :: n
        real(f64), intent(in) :: degrees(n)
        real(f64), intent(out) :: s(n), c(n)
        integer :: i

        !$omp simd
        do i = 1, n
            call sine_cosine(degrees(i), s(i), c(i))
        end do
    end subroutine sines

    !> Geographic positions as vectors.
    pure subroutine geographic(n, in_geodetic, at, height, x, y, z)
        integer, intent(in) :: n
        logical, intent(in) :: in_geodetic
        type(angles), intent(in) :: at
        real(f64), intent(in) :: height(n)
        real(f64), intent(out) :: x(n), y(n), z(n)
        real(f64) :: normal, across
        integer :: i

        if (.not. in_geodetic) then
            call on_sphere(n, earth_radius, .false., at, height, x, y, z)
            return
        end if
        !$omp simd private(normal, across)
        do i = 1, n
            normal = wgs84_a/sqrt(1 - e2*at%sin_lat(i)*at%sin_lat(i))
            across = (normal + height(i))*at%cos_lat(i)
            x(i) = across*at%cos_lon(i)
            y(i) = across*at%sin_lon(i)
            z(i) = (normal*(1 - e2) + height(i))*at%sin_lat(i)
        end do
    end subroutine geographic

    !> Points at heights above a sphere, or their directions.
    pure subroutine on_sphere(n, radius, as_directions, at, height, x, y, z)
        integer, intent(in) :: n
        real(f64), intent(in) :: radius, height(n)
        logical, intent(in) :: as_directions
        type(angles), intent(in) :: at
        real(f64), intent(out) :: x(n), y(n), z(n)
        real(f64) :: r, across
        integer :: i

        !$omp simd private(r, across)
        do i = 1, n
            r = merge(1.0_f64, radius + height(i), as_directions)
            across = r*at%cos_lat(i)
            x(i) = across*at%cos_lon(i)
            y(i) = across*at%sin_lon(i)
            z(i) = r*at%sin_lat(i)
        end do
    end subroutine on_sphere

    !> Into the axes of the dipole.
    pure subroutine turn(n, d, x, y, z)
        integer, intent(in) :: n
        type(dipoles), intent(in) :: d
        real(f64), intent(inout) :: x(n), y(n), z(n)
        real(f64) :: along, across
        integer :: i

        !$omp simd private(along, across)
        do i = 1, n
            along = d%cos_lon(i)*x(i) + d%sin_lon(i)*y(i)  ! the meridian of the pole
            across = d%cos_lon(i)*y(i) - d%sin_lon(i)*x(i)
            x(i) = d%cos_col(i)*along - d%sin_col(i)*z(i)
            y(i) = across
            z(i) = d%sin_col(i)*along + d%cos_col(i)*z(i)
        end do
    end subroutine turn

    !> Out of the axes of the dipole.
    pure subroutine turn_back(n, d, x, y, z)
        integer, intent(in) :: n
        type(dipoles), intent(in) :: d
        real(f64), intent(inout) :: x(n), y(n), z(n)
        real(f64) :: along, across
        integer :: i

        !$omp simd private(along, across)
        do i = 1, n
            along = d%cos_col(i)*x(i) + d%sin_col(i)*z(i)
            across = y(i)
            z(i) = d%cos_col(i)*z(i) - d%sin_col(i)*x(i)
            x(i) = d%cos_lon(i)*along - d%sin_lon(i)*across
            y(i) = d%sin_lon(i)*along + d%cos_lon(i)*across
        end do
    end subroutine turn_back

    !> By the offset of the eccentric dipole, or back.
    pure subroutine move(n, sense, d, x, y, z)
        integer, intent(in) :: n
        real(f64), intent(in) :: sense
        type(dipoles), intent(in) :: d
        real(f64), intent(inout) :: x(n), y(n), z(n)

        x = x + sense*d%dx(1:n)
        y = y + sense*d%dy(1:n)
        z = z + sense*d%dz(1:n)
    end subroutine move

    !> Latitude and longitude of a direction.
    pure subroutine to_sphere(n, x, y, z, lat, lon)
        integer, intent(in) :: n
        real(f64), intent(in) :: x(n), y(n), z(n)
        real(f64), intent(out) :: lat(n), lon(n)
        integer :: i

        !$omp simd
        do i = 1, n
            lat(i) = arc_tangent(z(i), sqrt(x(i)*x(i) + y(i)*y(i)))
            lon(i) = longitude(y(i), x(i))
        end do
    end subroutine to_sphere

    !> The length of a vector, less a length.
    pure subroutine to_length(n, less, x, y, z, r)
        integer, intent(in) :: n
        real(f64), intent(in) :: less, x(n), y(n), z(n)
        real(f64), intent(out) :: r(n)

        r = sqrt(x*x + y*y + z*z) - less
    end subroutine to_length

    !> In (-180, 180]: -180 is 180.
    elemental real(f64) function longitude(y, x)
        real(f64), intent(in) :: y, x

        longitude = arc_tangent(y, x)
        longitude = merge(180.0_f64, longitude, longitude <= -180)
    end function longitude

    !> Geodetic latitude, longitude and height.
    pure subroutine to_geodetic(n, x, y, z, lat, lon, height)
        integer, intent(in) :: n
        real(f64), intent(in) :: x(n), y(n), z(n)
        real(f64), intent(out) :: lat(n), lon(n), height(n)
        real(f64) :: s, c
        integer :: i

        !$omp simd private(s, c)
        do i = 1, n
            call normal_and_height(sqrt(x(i)*x(i) + y(i)*y(i)), z(i), s, c, height(i))
            lat(i) = arc_tangent(s, c)
            lon(i) = longitude(y(i), x(i))
        end do
    end subroutine to_geodetic

    !> Sine and cosine of the geodetic latitude, and the height, of a point at a distance from the axis: Bowring's
    !> iteration of the parametric latitude. NaN near the centre, as there is no such latitude within 43 km of it.
    elemental subroutine normal_and_height(across, z, s, c, height)
        real(f64), intent(in) :: across, z
        real(f64), intent(out) :: s, c, height
        real(f64) :: up, out, inverse
        integer :: k

        s = z
        c = axis_ratio*across
        do k = 1, geodetic_steps
            inverse = 1/sqrt(s*s + c*c)
            s = s*inverse
            c = c*inverse
            up = z + e2/axis_ratio*wgs84_a*s*s*s
            out = across - e2*wgs84_a*c*c*c
            s = axis_ratio*up
            c = out
        end do
        inverse = 1/sqrt(merge(up*up + out*out, -1.0_f64, across*across + z*z >= nearest*nearest))
        s = up*inverse
        c = out*inverse
        height = across*c + z*s - wgs84_a*sqrt(1 - e2*s*s)
    end subroutine normal_and_height

    !> Where the ray from the centre of the frame in the direction (x, y, z) comes to a height.
    pure subroutine meet(n, in_geodetic, eccentric, d, height, x, y, z)
        integer, intent(in) :: n
        logical, intent(in) :: in_geodetic, eccentric
        type(dipoles), intent(in) :: d
        real(f64), intent(in) :: height(n)
        real(f64), intent(inout) :: x(n), y(n), z(n)
        real(f64), dimension(block) :: dx, dy, dz, t, change
        real(f64) :: equatorial, polar, wide, high, ww, dw, dd, nan
        integer :: i, k

        nan = ieee_value(nan, ieee_quiet_nan)
        dx(1:n) = merge(d%dx(1:n), 0.0_f64, eccentric)
        dy(1:n) = merge(d%dy(1:n), 0.0_f64, eccentric)
        dz(1:n) = merge(d%dz(1:n), 0.0_f64, eccentric)
        equatorial = merge(wgs84_a, earth_radius, in_geodetic)
        polar = merge(wgs84_a*axis_ratio, earth_radius, in_geodetic)
        !$omp simd private(wide, high, ww, dw, dd)
        do i = 1, n
            wide = 1/(equatorial + height(i))
            wide = wide*wide
            high = 1/(polar + height(i))
            high = high*high
            ww = wide*(x(i)*x(i) + y(i)*y(i)) + high*z(i)*z(i)
            dw = wide*(dx(i)*x(i) + dy(i)*y(i)) + high*dz(i)*z(i)
            dd = wide*(dx(i)*dx(i) + dy(i)*dy(i)) + high*dz(i)*dz(i)
            t(i) = (sqrt(dw*dw - ww*(dd - 1)) - dw)/ww
            t(i) = merge(t(i), nan, t(i) >= 0)
        end do
        if (in_geodetic) then  ! the surface of equal height is not quite an ellipsoid
            do k = 1, ray_steps
                call approach(n, dx, dy, dz, x, y, z, height, t, change)
            end do
            t(1:n) = merge(t(1:n), nan, abs(change(1:n)) <= ray_tolerance)
        end if
        x = dx(1:n) + t(1:n)*x
        y = dy(1:n) + t(1:n)*y
        z = dz(1:n) + t(1:n)*z
    end subroutine meet

    !> A step of Newton's method towards the length t of a ray from d at which it comes to a geodetic height.
    pure subroutine approach(n, dx, dy, dz, x, y, z, height, t, change)
        integer, intent(in) :: n
        real(f64), intent(in), dimension(n) :: dx, dy, dz, x, y, z, height
        real(f64), intent(inout) :: t(n)
        real(f64), intent(out) :: change(n)
        real(f64) :: px, py, across, outward, s, c, h
        integer :: i

        !$omp simd private(px, py, across, outward, s, c, h)
        do i = 1, n
            px = dx(i) + t(i)*x(i)
            py = dy(i) + t(i)*y(i)
            across = sqrt(px*px + py*py)
            call normal_and_height(across, dz(i) + t(i)*z(i), s, c, h)
            outward = merge((px*x(i) + py*y(i))/across, sqrt(x(i)*x(i) + y(i)*y(i)), across > 0)
            change(i) = (height(i) - h)/(outward*c + z(i)*s)
            t(i) = t(i) + change(i)
        end do
    end subroutine approach

    !> The field at points (x, y, z) from the dipole, in the local frame of the latitude and longitude.
    pure subroutine field_at(n, d, at, x, y, z, north, east, down, horizontal, total, declination, inclination)
        integer, intent(in) :: n
        type(dipoles), intent(in) :: d
        type(angles), intent(in) :: at
        real(f64), intent(in) :: x(n), y(n), z(n)
        real(f64), intent(out), dimension(n) :: north, east, down, horizontal, total, declination, inclination
        real(f64) :: inverse, ux, uy, uz, mx, my, mz, strength, along, bx, by, bz, outward
        integer :: i

        !$omp simd private(inverse, ux, uy, uz, mx, my, mz, strength, along, bx, by, bz, outward)
        do i = 1, n
            inverse = 1/sqrt(x(i)*x(i) + y(i)*y(i) + z(i)*z(i))
            ux = x(i)*inverse
            uy = y(i)*inverse
            uz = z(i)*inverse
            mx = d%sin_col(i)*d%cos_lon(i)
            my = d%sin_col(i)*d%sin_lon(i)
            mz = d%cos_col(i)
            inverse = earth_radius*inverse
            strength = d%b0(i)*inverse*inverse*inverse
            along = 3*(mx*ux + my*uy + mz*uz)
            bx = strength*(mx - along*ux)
            by = strength*(my - along*uy)
            bz = strength*(mz - along*uz)
            outward = at%cos_lon(i)*bx + at%sin_lon(i)*by
            north(i) = at%cos_lat(i)*bz - at%sin_lat(i)*outward
            east(i) = at%cos_lon(i)*by - at%sin_lon(i)*bx
            down(i) = -(at%cos_lat(i)*outward + at%sin_lat(i)*bz)
            horizontal(i) = sqrt(north(i)*north(i) + east(i)*east(i))
            total(i) = sqrt(horizontal(i)*horizontal(i) + down(i)*down(i))
        end do
        !$omp simd
        do i = 1, n
            declination(i) = longitude(east(i), north(i))
            inclination(i) = arc_tangent(down(i), horizontal(i))
        end do
    end subroutine field_at

    !> Longitude in the frame of the dipole of (x, y, z) from its centre.
    pure subroutine dipole_longitude(n, d, x, y, z, longitudes)
        integer, intent(in) :: n
        type(dipoles), intent(in) :: d
        real(f64), intent(in) :: x(n), y(n), z(n)
        real(f64), intent(out) :: longitudes(n)
        integer :: i

        !$omp simd
        do i = 1, n
            longitudes(i) = arc_tangent(d%cos_lon(i)*y(i) - d%sin_lon(i)*x(i), &
                d%cos_col(i)*(d%cos_lon(i)*x(i) + d%sin_lon(i)*y(i)) - d%sin_col(i)*z(i))
        end do
    end subroutine dipole_longitude

    !> Longitude of the Sun in the frame of the dipole: of its direction, or of the subsolar point on the sphere as seen
    !> from the eccentric dipole.
    subroutine longitude_of_sun(n, start, algorithm, on_surface, micros, d, longitudes)
        integer, intent(in) :: n, algorithm
        integer(i64), intent(in) :: start
        integer(i64), intent(in), contiguous :: micros(:)
        logical, intent(in) :: on_surface
        type(dipoles), intent(in) :: d
        real(f64), intent(out) :: longitudes(n)
        real(f64), dimension(block) :: x, y, z

        call direction_of_sun(n, start, algorithm, micros, x, y, z)
        if (on_surface) then
            x(1:n) = earth_radius*x(1:n) - d%dx(1:n)
            y(1:n) = earth_radius*y(1:n) - d%dy(1:n)
            z(1:n) = earth_radius*z(1:n) - d%dz(1:n)
        end if
        call dipole_longitude(n, d, x, y, z, longitudes)
    end subroutine longitude_of_sun

    !> 12 + difference/15 in [0, 24), of a difference from -360 to 360 degrees.
    elemental real(f64) function hours_from(difference) result(hours)
        real(f64), intent(in) :: difference

        hours = 12 + difference*(1/15.0_f64)
        hours = hours + merge(24.0_f64, 0.0_f64, hours < 0)
        hours = hours - merge(24.0_f64, 0.0_f64, hours >= 24)
    end function hours_from

end module geomag_kernels
