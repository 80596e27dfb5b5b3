/* JSON from the wire, within bounds. Values are cJSON's. */
#ifndef CAUSEWAY_JSON_H
#define CAUSEWAY_JSON_H

#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cJSON;

/* Bounds of a document. Zero means the default in every member. */
struct cw_json_limits {
    uint64_t bytes_max; /* 0: 1048576 */
    uint64_t depth_max; /* arrays and objects inside each other. 0: 32; at most 512 */
};

/* Reads one JSON document (RFC 8259). The bytes need no terminator; nothing but white space may follow it.
 *
 * limits   NULL: the defaults
 * json     set to the value, yours, for cJSON_Delete; NULL on an error
 * returns  0; CW_EJSON: it is none, or holds a zero byte; CW_ETOOBIG: longer or deeper than the limits; CW_ENOMEM
 * thread   any */
int cw_json_parse(struct cw_span text, const struct cw_json_limits *limits, struct cJSON **json);

/* The member `name` of an object as a C string that lives as long as the object; NULL: not there, or not a string.
 *
 * thread   any */
const char *cw_json_text(const struct cJSON *object, const char *name);

#ifdef __cplusplus
}
#endif

#endif
