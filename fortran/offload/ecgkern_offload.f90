!> ecgkern-offload: what OpenMP sees of this machine, and two kernels of ecgkern timed on its host and on its GPU.
!>
!> A program of its own, never part of the Python extension: an OpenMP runtime that drives GPUs cannot be loaded beside
!> the one that torch brings along. README.md says what moves a loop to the GPU.
program ecgkern_offload
    use, intrinsic :: iso_fortran_env, only: compiler_options, compiler_version, output_unit
    use kinds, only: f32, f64, i64
    use offload_geomag, only: dipole, dipole_of, earth_radius, igrf14_2025, n_results, points_on_device, points_on_host
    use offload_settings, only: fail, failed, finish, from_command_line, no_device, settings
    use offload_timings, only: print_table, timing, timing_of, write_csv
    use offload_waveform, only: amplitude_of_waves, delay_of_waves, n_waves, sampling_rate, waveforms_on_device, &
        waveforms_on_host, width_of_waves
    use omp_lib, only: omp_get_default_device, omp_get_initial_device, omp_get_max_threads, omp_get_num_devices, &
        omp_get_wtime, omp_is_initial_device
    implicit none

    integer, parameter :: n_checks = 8
    type(settings) :: chosen
    type(timing) :: rows(6)
    integer :: n_rows, csv
    logical :: device, agree

    chosen = from_command_line()
    if (allocated(chosen%csv)) call open_csv()
    call describe_machine()
    device = runs_on_device()
    if (.not. device .and. chosen%require_device) call fail("no device, and --require-device was given", no_device)
    n_rows = 0
    agree = .true.
    call waveforms(chosen%records)
    call geomag(chosen%points)
    call print_table(rows(:n_rows))
    if (allocated(chosen%csv)) call write_csv(csv, rows(:n_rows))
    if (.not. agree) call fail("device and host disagree", failed)
    call finish(0)

contains

    !> Before anything is measured, so that a wrong name costs nothing.
    subroutine open_csv()
        character(len=256) :: message
        integer :: status

        open (newunit=csv, file=chosen%csv, action="write", status="replace", iostat=status, iomsg=message)
        if (status /= 0) call fail("--csv: "//trim(message), failed)
    end subroutine open_csv

    subroutine describe_machine()
        write (output_unit, "(2a)") "compiler        ", compiler_version()
        write (output_unit, "(2a)") "options         ", compiler_options()
        write (output_unit, "(a, i0)") "host threads    ", omp_get_max_threads()
        write (output_unit, "(a, i0)") "OpenMP devices  ", omp_get_num_devices()
        write (output_unit, "(a, i0)") "default device  ", omp_get_default_device()
        write (output_unit, "(a, i0)") "host's number   ", omp_get_initial_device()
    end subroutine describe_machine

    !> Whether a target region leaves the host. It has to be asked in the region: without a device OpenMP runs the
    !> region on the host and says nothing, gfortran's even under OMP_TARGET_OFFLOAD=MANDATORY.
    logical function runs_on_device()
        logical :: host
        real(f64) :: start

        start = omp_get_wtime()
        host = .true.
        !$omp target map(from: host)
        host = omp_is_initial_device()
        !$omp end target
        runs_on_device = .not. host
        if (host) then
            write (output_unit, "(/a)") "No device: a target region runs on the host here, and only the host is timed."
        else
            write (output_unit, "(/a, f0.3, a)") "A target region runs on the device; the first one took ", &
                omp_get_wtime() - start, " s, with the start of the device."
        end if
    end function runs_on_device

    !> Records of 10 s at 100 Hz with 12 beats each.
    subroutine waveforms(n_records)
        integer, intent(in) :: n_records
        integer, parameter :: length = 1000, n_beats = 12
        real(f64), parameter :: tolerance = 2e-6_f64  ! mV, as between the backends of ecgkern.waveform in float32
        real(f32), parameter :: untouched = -huge(1.0_f32)
        real(f32), allocatable :: y(:, :), y_host(:, :)
        real(f32) :: amplitude(n_waves)
        real(f64), allocatable :: r_peaks(:, :)
        real(f64) :: delay(n_waves), width(n_waves), seconds(0:chosen%repeats), start
        integer(i64) :: items, bytes
        integer :: record, b, k, status
        logical :: moved

        allocate (r_peaks(n_beats, n_records), y(0:length - 1, n_records), y_host(0:length - 1, n_records), stat=status)
        if (status /= 0) call fail("there is not enough memory for --records; give a smaller number", failed)
        do record = 1, n_records
            do b = 1, n_beats
                r_peaks(b, record) = (b - 0.5_f64)*length/n_beats + 15*sin(3.0_f64*b + 7.0_f64*record)
            end do
        end do
        amplitude = amplitude_of_waves
        delay = delay_of_waves
        width = width_of_waves
        y = untouched
        items = size(y, kind=i64)
        bytes = 4*items + 8*size(r_peaks, kind=i64)

        ! The first run of each, number 0, is not counted: memory is touched, threads and the device are started.
        do k = 0, chosen%repeats
            start = omp_get_wtime()
            call waveforms_on_host(n_beats, n_records, length, r_peaks, amplitude, delay, width, y_host)
            seconds(k) = omp_get_wtime() - start
        end do
        call add(timing_of("waveform", "host", items, bytes, seconds(1:)))
        if (device) then
            !$omp target data map(to: r_peaks, amplitude, delay, width) map(alloc: y)
            do k = 0, chosen%repeats
                start = omp_get_wtime()
                call waveforms_on_device(n_beats, n_records, length, r_peaks, amplitude, delay, width, y)
                seconds(k) = omp_get_wtime() - start
            end do
            moved = all(y <= untouched)
            !$omp target update from(y)
            !$omp end target data
            call add(timing_of("waveform", "device", items, bytes, seconds(1:)))
            call confirm("waveform", moved, all(abs(y - y_host) <= tolerance), &
                real(maxval(abs(y - y_host)), f64)/tolerance)
            do k = 0, chosen%repeats
                start = omp_get_wtime()
                call waveforms_on_device(n_beats, n_records, length, r_peaks, amplitude, delay, width, y)
                seconds(k) = omp_get_wtime() - start
            end do
            call add(timing_of("waveform", "device with transfers", items, bytes, seconds(1:)))
        else
            y(:, :) = y_host
        end if

        write (output_unit, "(/a, i0, a)") "The last record, at ", nint(sampling_rate), &
            " Hz: R peaks in samples, then samples and their mV"
        write (output_unit, "('r_peaks', *(1x, f0.12))") r_peaks(:, n_records)
        do k = 1, n_checks
            write (output_unit, "('waveform', i5, es17.8)") 120*k, y(120*k, n_records)
        end do
    end subroutine waveforms

    !> Points all over the Earth, from the ground to 1000 km.
    subroutine geomag(n)
        integer, intent(in) :: n
        real(f64), parameter :: golden = 0.61803398874989484820_f64  ! of a turn, from each point to the next
        real(f64), parameter :: untouched = -huge(1.0_f64)
        real(f64), parameter :: tolerance = 1e-11_f64  ! of 180 degrees, of the Earth's radius, of b0
        real(f64), allocatable :: place(:, :), found(:, :), found_host(:, :)
        real(f64) :: scale(n_results), largest, seconds(0:chosen%repeats), start
        type(dipole) :: d
        integer(i64) :: bytes
        integer :: i, j, k, status
        logical :: moved, close

        allocate (place(n, 3), found(n, n_results), found_host(n, n_results), stat=status)
        if (status /= 0) call fail("there is not enough memory for --points; give a smaller number", failed)
        do i = 1, n
            place(i, 1) = 180*((i - 0.5_f64)/n) - 90
            place(i, 2) = 360*modulo(i*golden, 1.0_f64) - 180
            place(i, 3) = 1000*modulo(i*golden**2, 1.0_f64)
        end do
        d = dipole_of(igrf14_2025)
        found = untouched
        bytes = 8*(size(place, kind=i64) + size(found, kind=i64))

        do k = 0, chosen%repeats
            start = omp_get_wtime()
            call points_on_host(n, d, place, found_host)
            seconds(k) = omp_get_wtime() - start
        end do
        call add(timing_of("geomag", "host", int(n, i64), bytes, seconds(1:)))
        if (device) then
            !$omp target data map(to: d, place) map(alloc: found)
            do k = 0, chosen%repeats
                start = omp_get_wtime()
                call points_on_device(n, d, place, found)
                seconds(k) = omp_get_wtime() - start
            end do
            moved = all(found <= untouched)
            !$omp target update from(found)
            !$omp end target data
            call add(timing_of("geomag", "device", int(n, i64), bytes, seconds(1:)))
            scale = [180.0_f64, 180.0_f64, earth_radius, d%b0, d%b0, d%b0]
            close = .true.
            largest = 0
            do j = 1, n_results
                close = close .and. all(difference(j, found(:, j), found_host(:, j)) <= tolerance*scale(j))
                largest = max(largest, maxval(difference(j, found(:, j), found_host(:, j)))/(tolerance*scale(j)))
            end do
            call confirm("geomag", moved, close, largest)
            do k = 0, chosen%repeats
                start = omp_get_wtime()
                call points_on_device(n, d, place, found)
                seconds(k) = omp_get_wtime() - start
            end do
            call add(timing_of("geomag", "device with transfers", int(n, i64), bytes, seconds(1:)))
        else
            found(:, :) = found_host
        end if

        write (output_unit, "(/a)") "Geodetic latitude, longitude, altitude; eccentric-dipole latitude, longitude," &
            //" distance; field north, east, down"
        do k = 1, n_checks
            i = 1 + int((k - 1)*(n - 1_i64)/(n_checks - 1))
            write (output_unit, "('geomag', *(1x, es23.16))") place(i, :), found(i, :)
        end do
    end subroutine geomag

    !> Of results of the device and the host; the second one is a longitude, where -180 and 180 degrees are the same.
    elemental real(f64) function difference(j, a, b)
        integer, intent(in) :: j
        real(f64), intent(in) :: a, b

        difference = abs(a - b)
        if (j == 2) difference = min(difference, abs(360 - difference))
    end function difference

    subroutine add(row)
        type(timing), intent(in) :: row

        n_rows = n_rows + 1
        rows(n_rows) = row
    end subroutine add

    !> moved: the host's array was still untouched after the kernel. Had the kernel run on the host, or in memory shared
    !> with it, the array would hold the result, and the timing would not be that of a device with memory of its own.
    subroutine confirm(kernel, moved, close, largest)
        character(len=*), intent(in) :: kernel
        logical, intent(in) :: moved, close
        real(f64), intent(in) :: largest  ! difference, in units of the one allowed

        if (.not. moved) call fail(kernel//" wrote into the host's memory: it did not run on a device", failed)
        write (output_unit, "(2a, f0.4, a)") kernel, ": device and host differ by ", largest, " of what is allowed"
        agree = agree .and. close
    end subroutine confirm

end program ecgkern_offload
