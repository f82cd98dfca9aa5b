#!/bin/sh
# Names every missing system package, with the command that installs it, before anything is built.
# Usage: tools/check_prerequisites.sh [PYTHON [use|develop]]   exit code 0: all there, 2: something is not
set -u

python="${1:-python3}"
set_of_packages="${2:-use}"
missing_packages=""
failed=0

# report WHAT PACKAGE...: one line for a thing that is missing and what brings it.
report() {
    what="$1"
    shift
    echo "missing: $what: sudo apt-get install -y $*" >&2
    missing_packages="$missing_packages $*"
    failed=1
}

has_python_module() { "$python" -c "import $1" >/dev/null 2>&1; }
has_library() { "$python" -c "import ctypes; ctypes.CDLL('$1')" >/dev/null 2>&1; }

if ! command -v "$python" >/dev/null 2>&1; then
    report "Python 3 ($python)" python3 python3-venv python3-dev
else
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    # `develop` was never installed and tested with 3.12.
    case "$set_of_packages" in develop) allowed="3.11" ;; *) allowed="3.11 or 3.12" ;; esac
    case " $allowed " in *" $version "*) is_allowed=1 ;; *) is_allowed=0 ;; esac
    if [ "$is_allowed" = 0 ]; then
        cat >&2 <<MESSAGE
error: $python is Python $version; what \`make\` installs needs CPython $allowed.
  With another one at hand:     make setup PYTHON=/path/to/python3.11
  With a ROS 2 installation:    build with colcon, see docs/install.md (Python 3.10 to 3.12)
  The library alone, no ROS:    pip install 'src/vinn[export,sim]' (Python 3.10 to 3.12)
MESSAGE
        failed=1
    fi
    has_python_module ensurepip || report "Python's venv module" python3-venv
    header='import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())'
    "$python" -c "$header" || report "Python's C headers (Python.h)" python3-dev

    # Rendering without a screen (MUJOCO_GL=egl): the loader, then a display that really starts.
    if ! has_library libEGL.so.1; then
        report "EGL (libEGL.so.1)" libegl1 libegl-mesa0 libgl1-mesa-dri
    elif ! EGL_PLATFORM=surfaceless "$python" -c '
import ctypes, sys
egl = ctypes.CDLL("libEGL.so.1")
egl.eglGetDisplay.restype = ctypes.c_void_p
egl.eglGetDisplay.argtypes = [ctypes.c_void_p]
egl.eglInitialize.argtypes = [ctypes.c_void_p] * 3
display = egl.eglGetDisplay(None)
sys.exit(not (display and egl.eglInitialize(display, None, None)))' >/dev/null 2>&1; then
        report "an EGL driver (Mesa)" libegl-mesa0 libgl1-mesa-dri
    fi
    has_library libOpenGL.so.0 || report "OpenGL (libOpenGL.so.0)" libopengl0
fi

command -v c++ >/dev/null 2>&1 || report "a C++ compiler (c++)" g++

# What .venv and pip's downloads take. Once the set is there, nothing more is asked for.
case "$set_of_packages" in
use) needed_mib=4096 there=.venv ;;
develop) needed_mib=12288 there='.venv/stamps/develop.*' ;;
*)
    echo "error: $set_of_packages: no set of packages; allowed: use, develop" >&2
    exit 2
    ;;
esac
free_mib=$(df -Pk . 2>/dev/null | awk 'NR == 2 {print int($4 / 1024)}')
# shellcheck disable=SC2086  # a pattern
if ! ls -d $there >/dev/null 2>&1 && [ "${free_mib:-$needed_mib}" -lt "$needed_mib" ]; then
    echo "error: $free_mib MiB are free on the disk of $(pwd); setting up takes $needed_mib MiB" >&2
    failed=1
fi

if [ -n "$missing_packages" ]; then
    packages=$(printf '%s\n' $missing_packages | LC_ALL=C sort -u | tr '\n' ' ')
    echo "All at once: sudo apt-get install -y ${packages% }" >&2
fi
if [ "$failed" != 0 ]; then
    echo "error: prerequisites are missing (above); nothing was built" >&2
    exit 2
fi
