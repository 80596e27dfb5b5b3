/* The version of the headers. */
#ifndef CAUSEWAY_VERSION_H
#define CAUSEWAY_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

#define CW_VERSION_MAJOR 0
#define CW_VERSION_MINOR 1
#define CW_VERSION_PATCH 0
#define CW_VERSION "0.1.0"

/* The version of the library that is running, as `0.1.0`.
 *
 * thread   any */
const char *cw_version(void);

#ifdef __cplusplus
}
#endif

#endif
