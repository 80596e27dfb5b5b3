#ifndef CW_OPTIONS_TEXT_H
#define CW_OPTIONS_TEXT_H

/* Texts of options that outlive the call. */

#include <causeway/types.h>

/* A copy, to be given to cw_release. NULL: no memory, or text is NULL. */
char *cw_option_copy(const char *text);

#endif
