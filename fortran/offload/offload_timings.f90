!> Timings of kernels: best and median of some repetitions, as a table to read and as a CSV file.
module offload_timings
    use, intrinsic :: iso_fortran_env, only: compiler_version, output_unit
    use kinds, only: f64, i64
    use omp_lib, only: omp_get_max_threads
    implicit none
    private
    public :: timing, timing_of, print_table, write_csv

    !> One row. bytes are what the kernel must at least read and write, wherever that lies.
    type :: timing
        character(len=8) :: kernel
        character(len=21) :: place  ! "host", "device", "device with transfers"
        integer(i64) :: items, bytes
        integer :: repeats
        real(f64) :: best, median  ! s
    end type timing

contains

    pure type(timing) function timing_of(kernel, place, items, bytes, seconds) result(row)
        character(len=*), intent(in) :: kernel, place
        integer(i64), intent(in) :: items, bytes
        real(f64), intent(in) :: seconds(:)

        row = timing(kernel, place, items, bytes, size(seconds), minval(seconds), median(seconds))
    end function timing_of

    !> Of an even number of values the mean of the two in the middle.
    pure real(f64) function median(values)
        real(f64), intent(in) :: values(:)
        real(f64) :: ascending(size(values)), value
        integer :: i, j, n

        n = size(values)
        ascending = values
        do i = 2, n
            value = ascending(i)
            do j = i - 1, 1, -1
                if (ascending(j) <= value) exit
                ascending(j + 1) = ascending(j)
            end do
            ascending(j + 1) = value
        end do
        median = (ascending((n + 1)/2) + ascending(n/2 + 1))/2
    end function median

    subroutine print_table(rows)
        type(timing), intent(in) :: rows(:)
        real(f64) :: host
        integer :: i

        host = 0
        write (output_unit, "(/a)") "kernel    where                      items    best ms  median ms    ns/item" &
            //"       GB/s     x host"
        do i = 1, size(rows)
            if (rows(i)%place == "host") host = rows(i)%best
            write (output_unit, "(a8, 2x, a21, i11, 2f11.3, f11.4, 2f11.2)") rows(i)%kernel, rows(i)%place, &
                rows(i)%items, 1e3_f64*rows(i)%best, 1e3_f64*rows(i)%median, 1e9_f64*rows(i)%best/rows(i)%items, &
                1e-9_f64*rows(i)%bytes/rows(i)%best, host/rows(i)%best
        end do
        write (output_unit, "(a, i0, a)") "host: ", omp_get_max_threads(), &
            " threads; ns and GB/s (10**9 bytes read and written) are of the best"
    end subroutine print_table

    !> To an open unit.
    subroutine write_csv(unit, rows)
        integer, intent(in) :: unit
        type(timing), intent(in) :: rows(:)
        integer :: i

        write (unit, "(a)") "kernel,where,items,bytes,repeats,best_s,median_s,host_threads,compiler"
        do i = 1, size(rows)
            write (unit, "(4a, 3(i0, ','), 2(es12.6, ','), i0, 3a)") &
                trim(rows(i)%kernel), ",", trim(rows(i)%place), ",", rows(i)%items, rows(i)%bytes, rows(i)%repeats, &
                rows(i)%best, rows(i)%median, omp_get_max_threads(), ',"', compiler_version(), '"'
        end do
    end subroutine write_csv

end module offload_timings
