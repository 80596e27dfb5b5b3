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

/* Reads one JSON document (RFC 8259, to the letter; no byte order mark). The bytes need no terminator; nothing
 * but white space may follow it. All of it is judged before any memory is taken. Of equal names in an object the
 * first one is found. A number too large for a double becomes infinite.
 *
 * limits   NULL: the defaults
 * json     set to the value, yours, for cJSON_Delete; NULL on an error. It takes up to 40 times the text's bytes
 * returns  0; CW_EJSON: it is none, or a string in it cannot be a C string of UTF-8 (zero byte, \u0000, half a
 *          surrogate pair); CW_ETOOBIG: longer or deeper than the limits, or a number of more than 63 characters;
 *          CW_ENOMEM
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
