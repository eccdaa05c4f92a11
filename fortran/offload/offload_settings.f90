!> The command line of ecgkern-offload, and its ways to end.
module offload_settings
    use, intrinsic :: iso_c_binding, only: c_int
    use, intrinsic :: iso_fortran_env, only: error_unit, output_unit
    implicit none
    private
    public :: settings, from_command_line, finish, fail
    public :: failed, wrong_usage, no_device

    integer, parameter :: failed = 1, wrong_usage = 2, no_device = 3  ! exit codes
    integer, parameter :: most_records = 2000000  ! samples are counted in 32 bits

    type :: settings
        integer :: records = 4096  ! of 1000 samples
        integer :: points = 1000000
        integer :: repeats = 5
        logical :: require_device = .false.
        character(len=:), allocatable :: csv  ! where to write the timings; nowhere if not allocated
    end type settings

    interface
        ! What `stop` prints beside its code differs between compilers.
        subroutine c_exit(code) bind(c, name="exit")
            import :: c_int
            integer(c_int), value :: code
        end subroutine c_exit
    end interface

contains

    type(settings) function from_command_line() result(s)
        character(len=:), allocatable :: option
        integer :: i

        i = 1
        do while (i <= command_argument_count())
            option = argument(i)
            select case (option)
            case ("--records")
                s%records = count_at(i + 1, option, most_records)
            case ("--points")
                s%points = count_at(i + 1, option, 100000000)
            case ("--repeats")
                s%repeats = count_at(i + 1, option, 100000)
            case ("--csv")
                s%csv = argument(i + 1)
                if (len(s%csv) == 0) call fail("--csv needs the name of a file", wrong_usage)
            case ("--require-device")
                s%require_device = .true.
                i = i - 1  ! it has no value
            case ("--help", "-h")
                call print_help()
                call finish(0)
            case default
                call fail("there is no option '"//option//"'; --help lists them", wrong_usage)
            end select
            i = i + 2
        end do
    end function from_command_line

    subroutine print_help()
        character(len=*), parameter :: text(*) = [character(len=96) :: &
            "ecgkern-offload: two kernels of ecgkern as OpenMP loops, on the host and on a GPU", "", &
            "  --records N        ECGs of 1000 samples to synthesise            (4096)", &
            "  --points N         points to take to the eccentric dipole        (1000000)", &
            "  --repeats N        timings of each, best and median are printed  (5)", &
            "  --require-device   exit with 3 if there is no device to run on", &
            "  --csv FILE         write the timings there as well", &
            "  --help             print this", "", &
            "Exit codes: 0 done, 1 device and host disagree or something failed, 2 wrong option, 3 no device."]
        integer :: i

        write (output_unit, "(a)") (trim(text(i)), i=1, size(text))
    end subroutine print_help

    !> The argument as it was given, blanks at its end included; empty beyond the last one.
    function argument(i) result(text)
        integer, intent(in) :: i
        character(len=:), allocatable :: text
        integer :: length

        length = 0
        if (i <= command_argument_count()) call get_command_argument(i, length=length)
        allocate (character(len=length) :: text)
        if (length > 0) call get_command_argument(i, value=text)
    end function argument

    integer function count_at(i, option, most) result(n)
        integer, intent(in) :: i, most
        character(len=*), intent(in) :: option
        character(len=:), allocatable :: text
        character(len=16) :: range

        text = argument(i)
        n = 0
        ! Digits alone, as a list-directed read would take "12,5" for 12.
        if (len(text) >= 1 .and. len(text) <= 9 .and. verify(text, "0123456789") == 0) read (text, "(i9)") n
        if (n >= 1 .and. n <= most) return
        write (range, "('1 to ', i0)") most
        call fail(option//" needs a whole number from "//trim(range)//", got '"//text//"'", wrong_usage)
    end function count_at

    subroutine fail(message, code)
        character(len=*), intent(in) :: message
        integer, intent(in) :: code

        flush (output_unit)
        write (error_unit, "(2a)") "ecgkern-offload: ", message
        call finish(code)
    end subroutine fail

    subroutine finish(code)
        integer, intent(in) :: code

        flush (output_unit)
        flush (error_unit)
        call c_exit(int(code, c_int))
    end subroutine finish

end module offload_settings
