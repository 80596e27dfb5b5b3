/* What both versions of the library need from us. */
#include "tls_library.h"

#include <errno.h>
#include <mbedtls/entropy.h>
#include <pthread.h>
#include <sys/random.h>

int cw_tls_random(void *unused, unsigned char *bytes, size_t len)
{
    (void)unused;
    while (len > 0) {
        ssize_t got = getrandom(bytes, len, 0);

        if (got < 0 && errno != EINTR) {
            return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
        }
        if (got > 0) {
            bytes += got;
            len -= (size_t)got;
        }
    }
    return 0;
}

#if CW_TLS_HAS_1_3

/* Off the rule against globals because the library's own state behind psa_crypto_init is the process's. It is never freed:
 * nobody can know whether the application uses it, too. */
static pthread_once_t begin_once = PTHREAD_ONCE_INIT;
static int begin_result;

static void begin(void)
{
    begin_result = psa_crypto_init() == PSA_SUCCESS ? 0 : -1;
}

int cw_tls_library_begin(void)
{
    pthread_once(&begin_once, begin);
    return begin_result;
}

#else

int cw_tls_library_begin(void)
{
    return 0;
}

#endif
