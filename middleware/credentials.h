#ifndef CW_CREDENTIALS_H
#define CW_CREDENTIALS_H

/* What stands in the field Authorization. */

#include <causeway/types.h>

enum cw_credentials_found {
    CW_CREDENTIALS_NONE = 0, /* no field, or of another scheme */
    CW_CREDENTIALS_BAD = 1,  /* malformed */
    CW_CREDENTIALS_GOOD = 2,
};

/* Reads a name and a password (RFC 7617 §2). Base64 is taken strictly: the alphabet of RFC 4648 §4, padded, no bits left over.
 *
 * buffer  at least as long as the field; both texts are in it and end with a zero byte */
enum cw_credentials_found cw_credentials_basic(struct cw_span field, char *buffer,
                                               const char **name, const char **password);

/* Reads a token (RFC 6750 §2.1). */
enum cw_credentials_found cw_credentials_bearer(struct cw_span field, struct cw_span *token);

#endif
