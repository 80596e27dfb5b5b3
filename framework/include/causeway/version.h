/* The version, of these headers and of the library that is linked. */
#ifndef CAUSEWAY_VERSION_H
#define CAUSEWAY_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

/* The version of these headers. The one place it is written: the build reads it from here. */
#define CW_VERSION_MAJOR 0
#define CW_VERSION_MINOR 1
#define CW_VERSION_PATCH 0

/* The three numbers as text, for logs and --version. */
#define CW_VERSION "0.1.0"

/* Tells the version of the library that is linked; with a shared library it may differ from CW_VERSION.
 *
 * returns  a text like CW_VERSION, never NULL
 * thread   any */
const char *cw_version(void);

#ifdef __cplusplus
}
#endif

#endif
