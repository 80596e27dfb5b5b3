#ifndef CW_UTF8_H
#define CW_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the UTF-8 sequence that begins at p (RFC 3629 §4), of which `left` are there; 0: none begins. */
size_t cw_utf8_len(const uint8_t *p, size_t left);

#endif
