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

#if MBEDTLS_VERSION_NUMBER < 0x03000000

void cw_tls_fill_tables(mbedtls_pk_context *key)
{
    mbedtls_ecp_group *group;
    mbedtls_ecp_point product;
    mbedtls_mpi two;

    if (!mbedtls_pk_can_do(key, MBEDTLS_PK_ECKEY)) {
        return;
    }
    group = &mbedtls_pk_ec(*key)->grp;
    mbedtls_ecp_point_init(&product);
    mbedtls_mpi_init(&two);
    if (mbedtls_mpi_lset(&two, 2) == 0) {
        (void)mbedtls_ecp_mul(group, &product, &two, &group->G, cw_tls_random, NULL);
    }
    mbedtls_mpi_free(&two);
    mbedtls_ecp_point_free(&product);
}

#else

void cw_tls_fill_tables(mbedtls_pk_context *key)
{
    (void)key;
}

#endif

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
