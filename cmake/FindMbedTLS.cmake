# Finds mbedTLS 2.28 or 3.x and makes causeway::mbedtls of it: in the system, or only below
# CAUSEWAY_MBEDTLS_ROOT, a folder with include/ and lib/. From there the archives are taken, so that
# programs start without a library path. Debian 12 ships neither a pkg-config file nor a CMake package
# for mbedTLS, hence this file; it is installed, too.
# Sets CAUSEWAY_MBEDTLS_VERSION, and CAUSEWAY_MBEDTLS_LIBS as a linker's command line takes it.
if(TARGET causeway::mbedtls)
    return()
endif()

set(only_here)
set(library_prefix)
set(library_suffix)
set(from "the system")
if(CAUSEWAY_MBEDTLS_ROOT)
    set(only_here PATHS ${CAUSEWAY_MBEDTLS_ROOT} NO_DEFAULT_PATH)
    set(library_prefix lib)
    set(library_suffix .a)
    set(from ${CAUSEWAY_MBEDTLS_ROOT})
endif()

find_path(mbedtls_headers mbedtls/ssl.h ${only_here} PATH_SUFFIXES include NO_CACHE)
set(mbedtls_files)
set(mbedtls_missing)
foreach(part mbedtls mbedx509 mbedcrypto) # in the order a linker needs
    find_library(${part}_file ${library_prefix}${part}${library_suffix} ${only_here}
                 PATH_SUFFIXES lib/${CMAKE_LIBRARY_ARCHITECTURE} lib lib64 NO_CACHE)
    list(APPEND mbedtls_files ${${part}_file})
    if(NOT ${part}_file)
        list(APPEND mbedtls_missing lib${part}${library_suffix})
    endif()
endforeach()
if(NOT mbedtls_headers)
    list(PREPEND mbedtls_missing mbedtls/ssl.h)
endif()
if(mbedtls_missing)
    list(JOIN mbedtls_missing ", " mbedtls_missing)
    message(FATAL_ERROR "mbedTLS not found in ${from}: ${mbedtls_missing} missing. Install it (Debian, Ubuntu: "
            "libmbedtls-dev), or give -DCAUSEWAY_MBEDTLS_ROOT= a folder with its include/ and lib/.")
endif()

# The version is written in build_info.h since 3.0, in version.h before.
set(version_header ${mbedtls_headers}/mbedtls/build_info.h)
if(NOT EXISTS ${version_header})
    set(version_header ${mbedtls_headers}/mbedtls/version.h)
endif()
file(STRINGS ${version_header} version_line REGEX "define +MBEDTLS_VERSION_STRING +\"")
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" CAUSEWAY_MBEDTLS_VERSION "${version_line}")
if(CAUSEWAY_MBEDTLS_VERSION VERSION_LESS 2.28 OR CAUSEWAY_MBEDTLS_VERSION VERSION_GREATER_EQUAL 4)
    message(FATAL_ERROR "mbedTLS in ${from} is version \"${CAUSEWAY_MBEDTLS_VERSION}\"; "
            "Causeway needs 2.28 or later, below 4.")
endif()

if(CAUSEWAY_MBEDTLS_ROOT)
    list(JOIN mbedtls_files " " CAUSEWAY_MBEDTLS_LIBS)
else()
    set(CAUSEWAY_MBEDTLS_LIBS "-lmbedtls -lmbedx509 -lmbedcrypto")
endif()
if(NOT MbedTLS_FIND_QUIETLY)
    message(STATUS "Causeway: mbedTLS ${CAUSEWAY_MBEDTLS_VERSION} from ${from}")
endif()
add_library(causeway::mbedtls INTERFACE IMPORTED)
set_target_properties(causeway::mbedtls PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES ${mbedtls_headers}
    INTERFACE_LINK_LIBRARIES "${mbedtls_files}")
# The archives' names are those of the system's library, which another library of the same program may use (libgit2 does,
# below Criterion): without this it would get the functions of another version.
if(CAUSEWAY_MBEDTLS_ROOT)
    set_target_properties(causeway::mbedtls PROPERTIES INTERFACE_LINK_OPTIONS
        "-Wl,--exclude-libs,libmbedtls.a:libmbedx509.a:libmbedcrypto.a")
endif()
