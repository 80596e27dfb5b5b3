# What `cmake --install` puts in place: headers, both libraries, pkg-config file, CMake package.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/causeway)
if(CAUSEWAY_BROTLI)
    set(CAUSEWAY_BROTLI_PKG libbrotlienc)
endif()
if(CAUSEWAY_LIBDEFLATE)
    set(CAUSEWAY_LIBDEFLATE_PKG libdeflate)
endif()
if(CAUSEWAY_ISAL)
    set(CAUSEWAY_ISAL_PKG libisal)
endif()

install(TARGETS causeway causeway_shared EXPORT causeway-targets)
foreach(folder framework protocols middleware)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder}/include/causeway
            DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} OPTIONAL FILES_MATCHING PATTERN "*.h")
endforeach()

# Written at install time, so that `cmake --install --prefix` ends up in the file.
install(CODE "set(CMAKE_INSTALL_INCLUDEDIR \"${CMAKE_INSTALL_INCLUDEDIR}\")
set(CMAKE_INSTALL_LIBDIR \"${CMAKE_INSTALL_LIBDIR}\")
set(PROJECT_DESCRIPTION \"${PROJECT_DESCRIPTION}\")
set(PROJECT_VERSION \"${PROJECT_VERSION}\")
set(CJSON_MODULE_NAME \"${CJSON_MODULE_NAME}\")
set(CAUSEWAY_BROTLI_PKG \"${CAUSEWAY_BROTLI_PKG}\")
set(CAUSEWAY_LIBDEFLATE_PKG \"${CAUSEWAY_LIBDEFLATE_PKG}\")
set(CAUSEWAY_ISAL_PKG \"${CAUSEWAY_ISAL_PKG}\")
set(CAUSEWAY_LLHTTP_PKG \"${CAUSEWAY_LLHTTP_PKG}\")
set(CAUSEWAY_MBEDTLS_LIBS \"${CAUSEWAY_MBEDTLS_LIBS}\")
configure_file(\"${PROJECT_SOURCE_DIR}/cmake/causeway.pc.in\"
    \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig/causeway.pc\" @ONLY)")

install(EXPORT causeway-targets NAMESPACE causeway:: DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/causeway-config.cmake.in
    ${PROJECT_BINARY_DIR}/causeway-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/causeway-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/causeway-config.cmake
              ${PROJECT_BINARY_DIR}/causeway-config-version.cmake
              ${PROJECT_SOURCE_DIR}/cmake/FindMbedTLS.cmake
        DESTINATION ${package_dir})
