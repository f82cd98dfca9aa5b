# Building interfaces on top of the ROS 2 wheels in a virtual environment, with scikit-build-core
# (SKBUILD). On a ROS 2 installation both macros do nothing.

macro(use_ros_wheels)
  if(SKBUILD)
    find_package(Python3 REQUIRED COMPONENTS Interpreter)
    execute_process(
      COMMAND "${Python3_EXECUTABLE}" -c "import sys; print(sys.prefix, end='')"
      OUTPUT_VARIABLE environment_prefix
      COMMAND_ERROR_IS_FATAL ANY)
    list(PREPEND CMAKE_PREFIX_PATH "${environment_prefix}")
    set(ENV{AMENT_PREFIX_PATH} "${environment_prefix}")
    set(BUILD_TESTING OFF CACHE BOOL "" FORCE)
  endif()
endmacro()

# The wheels' Python targets name include directories of the machine that built them, which cmake
# refuses. Replace exactly those; a ROS 2 installation has none.
macro(repair_wheel_targets)
  get_property(imported_targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  list(FILTER imported_targets INCLUDE REGEX "__rosidl_generator_py$")
  foreach(imported_target IN LISTS imported_targets)
    get_target_property(include_directories ${imported_target} INTERFACE_INCLUDE_DIRECTORIES)
    foreach(include_directory IN LISTS include_directories)
      if(IS_ABSOLUTE "${include_directory}" AND NOT EXISTS "${include_directory}")
        find_package(Python3 REQUIRED COMPONENTS Interpreter Development NumPy)
        set_target_properties(${imported_target} PROPERTIES
          INTERFACE_INCLUDE_DIRECTORIES "${Python3_INCLUDE_DIRS};${Python3_NumPy_INCLUDE_DIRS}")
        break()
      endif()
    endforeach()
  endforeach()
endmacro()
