# Finds llhttp, which reads HTTP heads: its library where the system has one (Debian 13: libllhttp-dev), otherwise the C
# sources that Debian's node-llhttp brings. Makes the target cw_llhttp, which cw_protocols compiles against.
# Sets CAUSEWAY_LLHTTP_PKG (the pkg-config module; empty: sources, and then the objects are part of Causeway's libraries).
set(CAUSEWAY_LLHTTP_ROOT "" CACHE PATH
    "Folder with llhttp's sources (share/llhttp) and header (share/include/llhttp); empty: the system's")
set(CAUSEWAY_LLHTTP_PKG)
set(llhttp_at /usr)
if(CAUSEWAY_LLHTTP_ROOT)
    set(llhttp_at ${CAUSEWAY_LLHTTP_ROOT})
else()
    pkg_check_modules(LLHTTP QUIET IMPORTED_TARGET libllhttp)
endif()

if(TARGET PkgConfig::LLHTTP)
    set(CAUSEWAY_LLHTTP_PKG libllhttp)
    add_library(cw_llhttp INTERFACE)
    target_link_libraries(cw_llhttp INTERFACE PkgConfig::LLHTTP)
    message(STATUS "Causeway: llhttp ${LLHTTP_VERSION}, the system's library")
    return()
endif()

find_path(llhttp_sources llhttp.c PATHS ${llhttp_at} PATH_SUFFIXES share/llhttp src NO_DEFAULT_PATH NO_CACHE)
find_path(llhttp_header llhttp.h PATHS ${llhttp_at} PATH_SUFFIXES share/include/llhttp include NO_DEFAULT_PATH NO_CACHE)
if(NOT llhttp_sources OR NOT llhttp_header)
    message(FATAL_ERROR "llhttp not found: neither its library nor its sources below ${llhttp_at}. Install it (Debian 12, "
            "Ubuntu: node-llhttp; newer: libllhttp-dev), or give -DCAUSEWAY_LLHTTP_ROOT= a folder with both.")
endif()
file(STRINGS ${llhttp_header}/llhttp.h version_lines REGEX "define LLHTTP_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX MATCHALL "[0-9]+" llhttp_version "${version_lines}")
list(JOIN llhttp_version "." llhttp_version)
if(llhttp_version VERSION_LESS 8.1 OR llhttp_version VERSION_GREATER_EQUAL 10)
    message(FATAL_ERROR "llhttp in ${llhttp_sources} is version \"${llhttp_version}\"; Causeway needs 8.1 or later, below 10.")
endif()
message(STATUS "Causeway: llhttp ${llhttp_version}, built from ${llhttp_sources}")

# A target of its own, for it would not pass our warnings. Optimised in every build: it is not ours to step through. Hidden: a
# program may load the library of another version through somebody else (libgit2), which must not get these functions.
add_library(cw_llhttp OBJECT
    ${llhttp_sources}/llhttp.c ${llhttp_sources}/api.c ${llhttp_sources}/http.c)
target_include_directories(cw_llhttp SYSTEM PUBLIC ${llhttp_header})
target_compile_options(cw_llhttp PRIVATE -w -O3 -fvisibility=hidden)
set_property(GLOBAL APPEND PROPERTY CW_OBJECTS $<TARGET_OBJECTS:cw_llhttp>)
