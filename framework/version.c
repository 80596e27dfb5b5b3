/* The version as it was when the library was built. */
#include <causeway/version.h>

const char *cw_version(void)
{
    return CW_VERSION;
}
