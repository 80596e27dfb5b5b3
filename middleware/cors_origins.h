#ifndef CW_CORS_ORIGINS_H
#define CW_CORS_ORIGINS_H

/* Lists of origins: "*", or origins parted by spaces or commas. */

#include <causeway/types.h>

enum cw_cors_found {
    CW_CORS_NOT_LISTED = 0,
    CW_CORS_LISTED = 1,
    CW_CORS_ANY = 2, /* the list is "*" */
};

/* Whether an origin, as browsers write it, is one of the list. Scheme, host and port are compared; the list may have capitals
 * and the scheme's own port. NULL: an empty list. */
enum cw_cors_found cw_cors_find(const char *list, struct cw_span origin);

/* What is wrong with a list; NULL: nothing. *word: where. */
const char *cw_cors_fault(const char *list, struct cw_span *word);

#endif
