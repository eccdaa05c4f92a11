!> The kernels of the geomag family: positions, fields and local times in the centred and the eccentric dipole.
!>
!> Points are taken by blocks that stay in the first-level cache, and a block goes through steps: angles to sines,
!> sines to a cartesian vector, the vector into the frame of the dipole, and back to angles. Each step is a short loop
!> over the block that a compiler turns into vector instructions; libm's functions would be called point by point.

!> Sines, cosines and arc tangents in degrees.
!>
!> Polynomials: minimax, found by Remez exchange at 70 digits, over 45 degrees for sine and cosine (3e-18 and 5e-20)
!> and up to tan(22.5 degrees) for the arc tangent (1e-18), so that rounding is all the error there is. They take and
!> give degrees: the first coefficients, pi/180 and 360/pi, happen to be within 4e-17 of a float64.
module degrees
    use kinds, only: f64, i64
    implicit none
    private
    public :: sine_cosine, latitude_sine_cosine, arc_tangent, elevation, rounded_down, radian

    real(f64), parameter :: radian = 57.295779513082320877_f64  ! degrees
    real(f64), parameter :: shifter = 6755399441055744.0_f64  ! 1.5 * 2**52: a sum with it is a rounded number

contains

    !> Sine and cosine, exact at multiples of 90 degrees: those are taken out in degrees, where that is exact.
    elemental subroutine sine_cosine(angle, sine, cosine)
        real(f64), intent(in) :: angle
        real(f64), intent(out) :: sine, cosine
        real(f64) :: shifted, s, c
        integer(i64) :: quarters

        shifted = angle*(1/90.0_f64) + shifter
        quarters = transfer(shifted, 0_i64)
        call small_sine_cosine(angle - 90*(shifted - shifter), s, c)
        sine = merge(c, s, iand(quarters, 1_i64) /= 0)
        cosine = merge(s, c, iand(quarters, 1_i64) /= 0)
        sine = merge(-sine, sine, iand(quarters, 2_i64) /= 0)
        cosine = merge(-cosine, cosine, iand(quarters + 1, 2_i64) /= 0)
    end subroutine sine_cosine

    !> The same, faster, of an angle within 90 degrees.
    elemental subroutine latitude_sine_cosine(angle, sine, cosine)
        real(f64), intent(in) :: angle
        real(f64), intent(out) :: sine, cosine
        real(f64) :: size, rest, s, c

        size = abs(angle)
        rest = 90 - size
        call small_sine_cosine(merge(rest, size, rest < size), s, c)
        sine = sign(merge(c, s, rest < size), angle)
        cosine = merge(s, c, rest < size)
    end subroutine latitude_sine_cosine

    !> The same within 45 degrees.
    elemental subroutine small_sine_cosine(angle, sine, cosine)
        real(f64), intent(in) :: angle
        real(f64), intent(out) :: sine, cosine
        real(f64) :: z

        z = angle*angle
        sine = angle*(0.017453292519943295769_f64 + z*(-8.8609615570129617291e-7_f64 &
            + z*(1.3496016231614883821e-11_f64 + z*(-9.7883848559676911503e-17_f64 &
            + z*(4.141266586411592577e-22_f64 + z*(-1.1467583906159288234e-27_f64 &
            + z*2.2167476722412486436e-33_f64))))))
        cosine = 1 + z*(-0.00015230870989335429967_f64 + z*(3.8663238515629874678e-9_f64 &
            + z*(-3.9258319857389259627e-14_f64 + z*(2.1354943025535618416e-19_f64 &
            + z*(-7.2278738866983470396e-25_f64 + z*(1.6678997791031742616e-30_f64 &
            - z*2.7647055196514924252e-36_f64))))))
    end subroutine small_sine_cosine

    !> The angle of the point (x, y), at a distance from the origin, in [-180, 180] degrees; 0 at the origin.
    elemental real(f64) function arc_tangent(y, x, distance) result(angle)
        real(f64), intent(in) :: y, x, distance

        angle = elevation(y, abs(x), distance)
        angle = merge(sign(180.0_f64, y) - angle, angle, x < 0)
    end function arc_tangent

    !> The same where x is not negative. Half the angle has the tangent y/(distance + x), which is small within
    !> 45 degrees; beyond, the angle from the other axis is taken.
    elemental real(f64) function elevation(y, x, distance) result(angle)
        real(f64), intent(in) :: y, x, distance
        real(f64) :: t, z, w, even, odd
        logical :: steep

        steep = abs(y) > x
        t = merge(x, abs(y), steep)/(distance + merge(abs(y), x, steep) + tiny(distance))
        z = t*t
        w = z*z
        ! Two sums, of every other power: half the wait for each other's results.
        even = 114.59155902616464175_f64 + w*(22.918311805180310199_f64 + w*(12.732395074957947285_f64 &
            + w*(8.8144533510464039823_f64 + w*(6.7013246200433110862_f64 + w*4.3634548768918843716_f64))))
        odd = -38.197186342054727796_f64 + w*(-16.37022271176015681_f64 + w*(-10.417401560233164003_f64 &
            + w*(-7.6353735290871855497_f64 + w*(-5.7752377608465637757_f64 - w*2.0537428527078769152_f64))))
        angle = t*(even + z*odd)
        angle = sign(merge(90 - angle, angle, steep), y) + 0  ! no negative zero
    end function elevation

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
    use degrees, only: latitude_sine_cosine, sine_cosine, arc_tangent, elevation
    use earth, only: block, earth_radius, wgs84_a, e2, axis_ratio
    use geomag_times, only: dipoles, dipole_for_all, dipole_of_each, direction_of_sun, take
    use kinds, only: f64, i64
    implicit none
    private
    public :: convert_points, find_fields, find_subsolar, find_tilts, find_hours, find_outer_hours

    integer, parameter :: geodetic_steps = 4
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
            call convert_block(start, source, target, by, rule, first, step, limits, rows, a, b, c, years, micros, &
                d, p, q, r, outside)
        end do
        !$omp end parallel do
    end subroutine convert_points

    recursive subroutine convert_block(start, source, target, by, rule, first, step, limits, rows, a, b, c, years, &
            micros, d, p, q, r, outside)
        integer(i64), intent(in) :: start
        integer(i64), intent(in), contiguous :: micros(:)
        integer, intent(in) :: source, target, by, rule
        real(f64), intent(in) :: first, step, limits(2, 3)
        real(f64), intent(in), contiguous :: rows(:, :), a(:), b(:), c(:), years(:)
        type(dipoles), intent(inout) :: d
        real(f64), intent(inout), contiguous :: p(:), q(:), r(:)
        integer(i64), intent(inout) :: outside
        real(f64), dimension(block) :: x, y, z, height, across
        type(angles) :: at
        logical :: rotation
        integer :: n

        n = int(min(int(block, i64), size(p, kind=i64) - start + 1))
        call dipole_of_each(n, start, by, rule, first, step, rows, years, micros, d)
        rotation = source == geocentric .and. target == cd  ! in one step, at the same distance from the centre
        select case (source)
        case (geo_xyz, cd_xyz, ed_xyz)
            call take_within(n, start, limits(:, 1), a, x, outside)
            call take_within(n, start, limits(:, 2), b, y, outside)
            call take_within(n, start, limits(:, 3), c, z, outside)
        case default
            call find_angles(n, start, limits, a, b, at, outside)
            call take_within(n, start, limits(:, 3), c, height, outside)
            if (source == geodetic) then
                call on_ellipsoid(n, at, height, x, y, z)
            else if (rotation) then
                call rotate(n, d, at, height, x, y, z, across, r(start:))
            else
                call on_sphere(n, merge(earth_radius, 0.0_f64, source == geocentric), source >= cd_ray, at, height, &
                    x, y, z)
            end if
        end select
        if (source >= cd) call turn_back(n, d, x, y, z)
        if (source == cd_ray .or. source == ed_ray) &
            call meet(n, target == geodetic, source == ed_ray, d, height, x, y, z)
        if (source == ed .or. source == ed_xyz) call move(n, 1.0_f64, d, x, y, z)
        if (target == ed .or. target == ed_xyz) call move(n, -1.0_f64, d, x, y, z)
        if (target >= cd .and. .not. rotation) then
            call turn(n, d, x, y, z, across)
        else if (target < cd) then
            call from_axis(n, x, y, across)
        end if
        select case (target)
        case (geodetic)
            call to_geodetic(n, x, y, z, across, p(start:), q(start:), r(start:))
        case (geocentric, cd, ed)
            if (.not. rotation) call from_centre(n, across, z, r(start:))
            call to_sphere(n, x, y, z, across, r(start:), p(start:), q(start:))
            if (target == geocentric) r(start:start + n - 1) = r(start:start + n - 1) - earth_radius
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
        real(f64), dimension(block) :: x, y, z
        integer(i64) :: start
        integer :: n

        outside = 0
        call dipole_for_all(rows(:, 1), d)
        !$omp parallel do num_threads(n_threads) schedule(dynamic, 512) firstprivate(d) private(n, at, x, y, z) &
        !$omp reduction(+:outside)
        do start = 1, size(north, kind=i64), block
            n = int(min(int(block, i64), size(north, kind=i64) - start + 1))
            call dipole_of_each(n, start, by, rule, first, step, rows, years, micros, d)
            call find_positions(n, start, in_geodetic, limits, lat, lon, alt, at, x, y, z, outside)
            if (eccentric) call move(n, -1.0_f64, d, x, y, z)
            call field_at(n, d, at, x, y, z, north(start:), east(start:), down(start:), horizontal(start:), &
                total(start:), declination(start:), inclination(start:))
        end do
        !$omp end parallel do
    end subroutine find_fields

    !> The subsolar point.
    recursive subroutine find_subsolar(n_threads, algorithm, micros, lat, lon)
        integer(i64), intent(in) :: n_threads
        integer(i64), intent(in), contiguous :: micros(:)
        integer, intent(in) :: algorithm
        real(f64), intent(inout), contiguous :: lat(:), lon(:)
        real(f64), dimension(block) :: x, y, z, across, length
        integer(i64) :: start
        integer :: n

        length = 1
        !$omp parallel do num_threads(n_threads) schedule(dynamic, 512) private(n, x, y, z, across)
        do start = 1, size(lat, kind=i64), block
            n = int(min(int(block, i64), size(lat, kind=i64) - start + 1))
            call direction_of_sun(n, start, algorithm, micros, x, y, z)
            call from_axis(n, x, y, across)
            call to_sphere(n, x, y, z, across, length, lat(start:), lon(start:))
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
        real(f64), dimension(block) :: x, y, z, across
        integer(i64) :: start
        integer :: n, i

        call dipole_for_all(rows(:, 1), d)
        !$omp parallel do num_threads(n_threads) schedule(dynamic, 512) firstprivate(d) private(n, i, x, y, z, across)
        do start = 1, size(tilt, kind=i64), block
            n = int(min(int(block, i64), size(tilt, kind=i64) - start + 1))
            call dipole_of_each(n, start, by, rule, first, step, rows, years, micros, d)
            call direction_of_sun(n, start, algorithm, micros, x, y, z)
            call turn(n, d, x, y, z, across)
            !$omp simd
            do i = 1, n
                tilt(start + i - 1) = elevation(z(i), across(i), 1.0_f64)
            end do
        end do
        !$omp end parallel do
    end subroutine find_tilts

    !> The magnetic local time of points, each at its time.
    recursive subroutine find_hours(n_threads, eccentric, surface, in_geodetic, algorithm, by, rule, first, step, &
            limits, rows, lat, lon, alt, years, micros, hours, outside)
        integer(i64), intent(in) :: n_threads
        integer(i64), intent(in), contiguous :: micros(:)
        logical, intent(in) :: eccentric, surface, in_geodetic
        integer, intent(in) :: algorithm, by, rule
        real(f64), intent(in) :: first, step, limits(2, 3)
        real(f64), intent(in), contiguous :: rows(:, :), lat(:), lon(:), alt(:), years(:)
        real(f64), intent(inout), contiguous :: hours(:)
        integer(i64), intent(out) :: outside
        type(dipoles) :: d
        type(angles) :: at
        real(f64), dimension(block) :: x, y, z, of_point, of_sun
        integer(i64) :: start
        integer :: n, i

        outside = 0
        call dipole_for_all(rows(:, 1), d)
        !$omp parallel do num_threads(n_threads) schedule(dynamic, 512) firstprivate(d) &
        !$omp private(n, i, at, x, y, z, of_point, of_sun) reduction(+:outside)
        do start = 1, size(hours, kind=i64), block
            n = int(min(int(block, i64), size(hours, kind=i64) - start + 1))
            call dipole_of_each(n, start, by, rule, first, step, rows, years, micros, d)
            call find_positions(n, start, in_geodetic, limits, lat, lon, alt, at, x, y, z, outside)
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

    !> The magnetic local time of every point at every time, from the place (first_point, first_time) of hours on, which
    !> is hours(points, times) if points_last (NumPy's last axis is the first here), else hours(times, points). Tiles
    !> stay in the second-level cache; their inner loop goes along the last axis, or the longer one if that is short.
    recursive subroutine find_outer_hours(n_threads, eccentric, surface, in_geodetic, algorithm, by, rule, first, &
            step, limits, rows, points_last, first_point, first_time, lat, lon, alt, micros, hours, outside)
        integer(i64), intent(in) :: n_threads, first_point, first_time
        integer(i64), intent(in), contiguous :: micros(:)
        logical, intent(in) :: eccentric, surface, in_geodetic, points_last
        integer, intent(in) :: algorithm, by, rule
        real(f64), intent(in) :: first, step, limits(2, 3)
        real(f64), intent(in), contiguous :: rows(:, :), lat(:), lon(:), alt(:)
        real(f64), intent(inout), contiguous :: hours(:, :)
        integer(i64), intent(out) :: outside
        integer, parameter :: long = 512, short = 32
        real(f64) :: tile(long, short)
        logical :: points_inner
        integer :: n_last, n_points, n_times, tiles_of_points, k, p, t, width, height

        outside = 0
        n_last = merge(size(lat), size(micros), points_last)
        points_inner = points_last .eqv. (n_last >= block .or. n_last >= size(lat) + size(micros) - n_last)
        n_points = merge(long, short, points_inner)
        n_times = merge(short, long, points_inner)
        tiles_of_points = (size(lat) - 1)/n_points + 1
        !$omp parallel do num_threads(n_threads) schedule(dynamic) private(tile, p, t, width, height) &
        !$omp reduction(+:outside)
        do k = 0, tiles_of_points*((size(micros) - 1)/n_times + 1) - 1
            p = mod(k, tiles_of_points)*n_points
            t = k/tiles_of_points*n_times
            width = min(n_points, size(lat) - p)
            height = min(n_times, size(micros) - t)
            call find_tile(eccentric, surface, in_geodetic, algorithm, by, rule, first, step, limits, rows, &
                points_inner, lat(p + 1:p + width), lon(p + 1:p + width), alt(p + 1:p + width), &
                micros(t + 1:t + height), tile, outside)
            call put(first_point + p, first_time + t, width, height, points_inner, points_last, tile, hours)
        end do
        !$omp end parallel do
    end subroutine find_outer_hours

    !> A tile of it: (points, times) if points_inner, else (times, points).
    recursive subroutine find_tile(eccentric, surface, in_geodetic, algorithm, by, rule, first, step, limits, rows, &
            points_inner, lat, lon, alt, micros, hours, outside)
        integer(i64), intent(in), contiguous :: micros(:)
        logical, intent(in) :: eccentric, surface, in_geodetic, points_inner
        integer, intent(in) :: algorithm, by, rule
        real(f64), intent(in) :: first, step, limits(2, 3)
        real(f64), intent(in), contiguous :: rows(:, :), lat(:), lon(:), alt(:)
        real(f64), intent(inout), contiguous :: hours(:, :)
        integer(i64), intent(inout) :: outside
        real(f64), dimension(size(lat)) :: x, y, z
        real(f64), dimension(size(micros)) :: xx, xy, xz, yx, yy, x0, y0, of_sun
        real(f64), parameter :: no_years(1) = 0
        type(dipoles) :: d
        type(angles) :: at
        real(f64) :: along, aside
        integer(i64) :: start
        integer :: n, i, j, k

        do start = 1, size(lat, kind=i64), block
            n = int(min(int(block, i64), size(lat, kind=i64) - start + 1))
            call find_positions(n, start, in_geodetic, limits, lat, lon, alt, at, x(start:), y(start:), z(start:), &
                outside)
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
        if (points_inner) then
            do j = 1, size(micros)
                !$omp simd private(along, aside)
                do i = 1, size(lat)
                    aside = yx(j)*x(i) + yy(j)*y(i) - y0(j)
                    along = xx(j)*x(i) + xy(j)*y(i) + xz(j)*z(i) - x0(j)
                    hours(i, j) = hours_from(arc_tangent(aside, along, sqrt(aside*aside + along*along)) - of_sun(j))
                end do
            end do
        else
            do j = 1, size(lat)
                !$omp simd private(along, aside)
                do i = 1, size(micros)
                    aside = yx(i)*x(j) + yy(i)*y(j) - y0(i)
                    along = xx(i)*x(j) + xy(i)*y(j) + xz(i)*z(j) - x0(i)
                    hours(i, j) = hours_from(arc_tangent(aside, along, sqrt(aside*aside + along*along)) - of_sun(i))
                end do
            end do
        end if
    end subroutine find_tile

    !> Put a tile of n_points by n_times behind the first p and t of the whole.
    pure subroutine put(p, t, n_points, n_times, points_inner, points_last, tile, hours)
        integer(i64), intent(in) :: p, t
        integer, intent(in) :: n_points, n_times
        logical, intent(in) :: points_inner, points_last
        real(f64), intent(in), contiguous :: tile(:, :)
        real(f64), intent(inout), contiguous :: hours(:, :)

        if (points_inner .and. points_last) then
            hours(p + 1:p + n_points, t + 1:t + n_times) = tile(1:n_points, 1:n_times)
        else if (points_inner) then
            hours(t + 1:t + n_times, p + 1:p + n_points) = transpose(tile(1:n_points, 1:n_times))
        else if (points_last) then
            hours(p + 1:p + n_points, t + 1:t + n_times) = transpose(tile(1:n_times, 1:n_points))
        else
            hours(t + 1:t + n_times, p + 1:p + n_points) = tile(1:n_times, 1:n_points)
        end if
    end subroutine put

    ! ---- steps -------------------------------------------------------------------------------------------------------

    !> Geographic positions as vectors, with the sines and cosines of their angles.
    pure subroutine find_positions(n, start, in_geodetic, limits, lat, lon, alt, at, x, y, z, outside)
        integer, intent(in) :: n
        integer(i64), intent(in) :: start
        logical, intent(in) :: in_geodetic
        real(f64), intent(in) :: limits(2, 3)
        real(f64), intent(in), contiguous :: lat(:), lon(:), alt(:)
        type(angles), intent(inout) :: at
        real(f64), intent(out) :: x(n), y(n), z(n)
        integer(i64), intent(inout) :: outside
        real(f64) :: height(block)

        call find_angles(n, start, limits, lat, lon, at, outside)
        call take_within(n, start, limits(:, 3), alt, height, outside)
        if (in_geodetic) then
            call on_ellipsoid(n, at, height, x, y, z)
        else
            call on_sphere(n, earth_radius, .false., at, height, x, y, z)
        end if
    end subroutine find_positions

    !> Values of n points, from start, of an argument that may have one value for all; `outside` goes up where any is
    !> beyond the limits. NaN is not.
    pure subroutine take_within(n, start, limits, given, values, outside)
        integer, intent(in) :: n
        integer(i64), intent(in) :: start
        real(f64), intent(in) :: limits(2)
        real(f64), intent(in), contiguous :: given(:)
        real(f64), intent(out) :: values(n)
        integer(i64), intent(inout) :: outside
        real(f64) :: lowest, highest
        integer :: i

        lowest = limits(1)
        highest = limits(2)
        if (size(given) == 1) then
            values = given(1)
            lowest = merge(values(1), lowest, values(1) < lowest)
            highest = merge(values(1), highest, values(1) > highest)
        else
            !$omp simd reduction(min:lowest) reduction(max:highest)
            do i = 1, n
                values(i) = given(start + i - 1)
                lowest = merge(values(i), lowest, values(i) < lowest)
                highest = merge(values(i), highest, values(i) > highest)
            end do
        end if
        if (lowest < limits(1) .or. highest > limits(2)) outside = outside + 1
    end subroutine take_within

    !> Sines and cosines of latitudes and longitudes; the limits are as far from 0 on either side.
    pure subroutine find_angles(n, start, limits, lat, lon, at, outside)
        integer, intent(in) :: n
        integer(i64), intent(in) :: start
        real(f64), intent(in) :: limits(2, 3)
        real(f64), intent(in), contiguous :: lat(:), lon(:)
        type(angles), intent(inout) :: at
        integer(i64), intent(inout) :: outside

        if (size(lat) == 1) then
            call latitude_sines(1, limits(2, 1), lat, at%sin_lat, at%cos_lat, outside)
            at%sin_lat = at%sin_lat(1)
            at%cos_lat = at%cos_lat(1)
        else
            call latitude_sines(n, limits(2, 1), lat(start:), at%sin_lat, at%cos_lat, outside)
        end if
        if (size(lon) == 1) then
            call longitude_sines(1, limits(2, 2), lon, at%sin_lon, at%cos_lon, outside)
            at%sin_lon = at%sin_lon(1)
            at%cos_lon = at%cos_lon(1)
        else
            call longitude_sines(n, limits(2, 2), lon(start:), at%sin_lon, at%cos_lon, outside)
        end if
    end subroutine find_angles

    pure subroutine latitude_sines(n, limit, lat, s, c, outside)
        integer, intent(in) :: n
        real(f64), intent(in) :: limit, lat(n)
        real(f64), intent(inout) :: s(n), c(n)
        integer(i64), intent(inout) :: outside
        real(f64) :: largest
        integer :: i

        largest = 0
        !$omp simd reduction(max:largest)
        do i = 1, n
            largest = merge(abs(lat(i)), largest, abs(lat(i)) > largest)
            call latitude_sine_cosine(lat(i), s(i), c(i))
        end do
        if (largest > limit) outside = outside + 1
    end subroutine latitude_sines

    pure subroutine longitude_sines(n, limit, lon, s, c, outside)
        integer, intent(in) :: n
        real(f64), intent(in) :: limit, lon(n)
        real(f64), intent(inout) :: s(n), c(n)
        integer(i64), intent(inout) :: outside
        real(f64) :: largest
        integer :: i

        largest = 0
        !$omp simd reduction(max:largest)
        do i = 1, n
            largest = merge(abs(lon(i)), largest, abs(lon(i)) > largest)
            call sine_cosine(lon(i), s(i), c(i))
        end do
        if (largest > limit) outside = outside + 1
    end subroutine longitude_sines

    !> Points above the ellipsoid.
    pure subroutine on_ellipsoid(n, at, height, x, y, z)
        integer, intent(in) :: n
        type(angles), intent(in) :: at
        real(f64), intent(in) :: height(n)
        real(f64), intent(out) :: x(n), y(n), z(n)
        real(f64) :: normal, across
        integer :: i

        !$omp simd private(normal, across)
        do i = 1, n
            normal = wgs84_a/sqrt(1 - e2*at%sin_lat(i)*at%sin_lat(i))
            across = (normal + height(i))*at%cos_lat(i)
            x(i) = across*at%cos_lon(i)
            y(i) = across*at%sin_lon(i)
            z(i) = (normal*(1 - e2) + height(i))*at%sin_lat(i)
        end do
    end subroutine on_ellipsoid

    !> Points at heights above a sphere, or their directions.
    pure subroutine on_sphere(n, radius, as_directions, at, height, x, y, z)
        integer, intent(in) :: n
        real(f64), intent(in) :: radius, height(n)
        logical, intent(in) :: as_directions
        type(angles), intent(in) :: at
        real(f64), intent(out) :: x(n), y(n), z(n)
        real(f64) :: length, across
        integer :: i

        !$omp simd private(length, across)
        do i = 1, n
            length = merge(1.0_f64, radius + height(i), as_directions)
            across = length*at%cos_lat(i)
            x(i) = across*at%cos_lon(i)
            y(i) = across*at%sin_lon(i)
            z(i) = length*at%sin_lat(i)
        end do
    end subroutine on_sphere

    !> Into the axes of the dipole, and how far from its axis: here the root's time is hidden by the rest, while among
    !> arc tangents it adds to their wait for each other's results.
    pure subroutine turn(n, d, x, y, z, across)
        integer, intent(in) :: n
        type(dipoles), intent(in) :: d
        real(f64), intent(inout) :: x(n), y(n), z(n)
        real(f64), intent(out) :: across(n)
        real(f64) :: along, aside
        integer :: i

        !$omp simd private(along, aside)
        do i = 1, n
            along = d%cos_lon(i)*x(i) + d%sin_lon(i)*y(i)  ! the meridian of the pole
            aside = d%cos_lon(i)*y(i) - d%sin_lon(i)*x(i)
            x(i) = d%cos_col(i)*along - d%sin_col(i)*z(i)
            y(i) = aside
            z(i) = d%sin_col(i)*along + d%cos_col(i)*z(i)
            across(i) = sqrt(x(i)*x(i) + aside*aside)
        end do
    end subroutine turn

    !> `on_sphere` and `turn` in one, and the distance from the centre, which stays as it is.
    pure subroutine rotate(n, d, at, height, x, y, z, across, length)
        integer, intent(in) :: n
        type(dipoles), intent(in) :: d
        type(angles), intent(in) :: at
        real(f64), intent(in) :: height(n)
        real(f64), intent(out), dimension(n) :: x, y, z, across, length
        real(f64) :: equatorial, polar, along
        integer :: i

        !$omp simd private(equatorial, polar, along)
        do i = 1, n
            length(i) = earth_radius + height(i)
            equatorial = length(i)*at%cos_lat(i)
            polar = length(i)*at%sin_lat(i)
            along = (d%cos_lon(i)*at%cos_lon(i) + d%sin_lon(i)*at%sin_lon(i))*equatorial
            x(i) = d%cos_col(i)*along - d%sin_col(i)*polar
            y(i) = (d%cos_lon(i)*at%sin_lon(i) - d%sin_lon(i)*at%cos_lon(i))*equatorial
            z(i) = d%sin_col(i)*along + d%cos_col(i)*polar
            across(i) = sqrt(x(i)*x(i) + y(i)*y(i))
        end do
    end subroutine rotate

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

    !> Distances from the third axis.
    pure subroutine from_axis(n, x, y, across)
        integer, intent(in) :: n
        real(f64), intent(in) :: x(n), y(n)
        real(f64), intent(out) :: across(n)

        across = sqrt(x*x + y*y)
    end subroutine from_axis

    !> Distances from the centre.
    pure subroutine from_centre(n, across, z, length)
        integer, intent(in) :: n
        real(f64), intent(in) :: across(n), z(n)
        real(f64), intent(out) :: length(n)

        length = sqrt(across*across + z*z)
    end subroutine from_centre

    !> Latitude and longitude of a vector, its distance from the third axis and its length being known.
    pure subroutine to_sphere(n, x, y, z, across, length, lat, lon)
        integer, intent(in) :: n
        real(f64), intent(in) :: x(n), y(n), z(n), across(n), length(n)
        real(f64), intent(out) :: lat(n), lon(n)
        integer :: i

        !$omp simd
        do i = 1, n
            lat(i) = elevation(z(i), across(i), length(i))
            lon(i) = longitude(y(i), x(i), across(i))
        end do
    end subroutine to_sphere

    !> In (-180, 180]: -180 is 180.
    elemental real(f64) function longitude(y, x, across)
        real(f64), intent(in) :: y, x, across

        longitude = arc_tangent(y, x, across)
        longitude = merge(180.0_f64, longitude, longitude <= -180)
    end function longitude

    !> Geodetic latitude, longitude and height.
    pure subroutine to_geodetic(n, x, y, z, across, lat, lon, height)
        integer, intent(in) :: n
        real(f64), intent(in) :: x(n), y(n), z(n), across(n)
        real(f64), intent(out) :: lat(n), lon(n), height(n)
        real(f64) :: s, c
        integer :: i

        !$omp simd private(s, c)
        do i = 1, n
            call normal_and_height(across(i), z(i), s, c, height(i))
            lat(i) = elevation(s, c, 1.0_f64)
            lon(i) = longitude(y(i), x(i), across(i))
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
        integer :: i

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
            call approach(n, dx, dy, dz, x, y, z, height, t, change)
            call approach(n, dx, dy, dz, x, y, z, height, t, change)
            call approach(n, dx, dy, dz, x, y, z, height, t, change)  ! a loop of three hinders gcc's vectors
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
            outward = (px*x(i) + py*y(i))/(across + tiny(across))  ! it does not count on the axis, where c is 0
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
            declination(i) = longitude(east(i), north(i), horizontal(i))
            inclination(i) = elevation(down(i), horizontal(i), total(i))
        end do
    end subroutine field_at

    !> Longitude in the frame of the dipole of (x, y, z) from its centre.
    pure subroutine dipole_longitude(n, d, x, y, z, longitudes)
        integer, intent(in) :: n
        type(dipoles), intent(in) :: d
        real(f64), intent(in) :: x(n), y(n), z(n)
        real(f64), intent(out) :: longitudes(n)
        real(f64) :: along, aside
        integer :: i

        !$omp simd private(along, aside)
        do i = 1, n
            aside = d%cos_lon(i)*y(i) - d%sin_lon(i)*x(i)
            along = d%cos_col(i)*(d%cos_lon(i)*x(i) + d%sin_lon(i)*y(i)) - d%sin_col(i)*z(i)
            longitudes(i) = arc_tangent(aside, along, sqrt(aside*aside + along*along))
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
