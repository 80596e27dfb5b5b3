/* tcp: bytes as they come. A message is whatever one read brought; borders mean nothing. */
#ifndef CAUSEWAY_TCP_H
#define CAUSEWAY_TCP_H

#include <causeway/server.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The protocol. Its messages are CW_BINARY, of any length above 0. */
extern const struct cw_protocol cw_tcp;

#ifdef __cplusplus
}
#endif

#endif
