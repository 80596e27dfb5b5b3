/* Copies of options' texts. */
#include "options_text.h"

#include <causeway/log.h>

char *cw_option_copy(const char *text)
{
    size_t size = text ? strlen(text) + 1 : 0;
    char *copy = text ? cw_alloc(size) : NULL;

    return copy ? memcpy(copy, text, size) : NULL;
}
