#!/bin/sh
# run.sh static|shared BUILD-FOLDER COMPILER SANITIZERS
# Installs to a fresh prefix, then builds and runs user.c there, by pkg-config and by find_package.
set -eu
kind=$1 build=$2 cc=$3 sanitizers=${4-} # nothing in a plain build
here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/log" || { cat "$work/log"; exit 1; }
library=$(find "$work/prefix" -name libcauseway.a)
pkgconfig=$(find "$work/prefix" -name causeway.pc)
export PKG_CONFIG_PATH="${pkgconfig%/*}${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
flags=${sanitizers:+-fsanitize=$sanitizers}

if [ "$kind" = static ]; then
    target=causeway::causeway
    # Without the shared library beside it, -lcauseway means the archive.
    mkdir "$work/archive"
    cp "$library" "$work/archive"
    libs="-L$work/archive $(pkg-config --static --libs causeway)"
    export LD_LIBRARY_PATH=
else
    target=causeway::shared
    libs=$(pkg-config --libs causeway)
    export LD_LIBRARY_PATH="${library%/*}"
fi

# show PROGRAM: it runs, and uses the kind of library that is meant.
show() {
    "$1"
    if ldd "$1" | grep -q libcauseway; then used=shared; else used=static; fi
    [ "$used" = "$kind" ] || { echo "$1 uses the $used library"; exit 1; }
}

echo "pkg-config, $kind:"
# The words of $flags and $libs are meant to be split.
# shellcheck disable=SC2046,SC2086
"$cc" -std=c11 -Wall -Wextra -Werror $flags $(pkg-config --cflags causeway) "$here/user.c" -o "$work/user" $libs
show "$work/user"

echo "find_package, $target:"
cmake -S "$here" -B "$work/package" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_C_FLAGS="$flags" -DTARGET="$target" >"$work/log" 2>&1 &&
    cmake --build "$work/package" >>"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
show "$work/package/user"
