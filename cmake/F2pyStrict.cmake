# Runs f2py (-DCOMMAND=...) and fails where f2py only prints a line: a kind that is not in the f2cmap would silently
# become a C float, and every number crossing the border would be wrong.
execute_process(COMMAND ${COMMAND} OUTPUT_VARIABLE output ERROR_VARIABLE error RESULT_VARIABLE result)
if(NOT result EQUAL 0 OR "${output}${error}" MATCHES "is mapped to C")
  message(FATAL_ERROR "f2py failed, or met a kind that fortran/f2cmap does not name:\n${output}${error}")
endif()
