/* Digests that are not TLS's own business: the library is here. */
#include "tls_library.h"

#include <causeway/digest.h>
#include <causeway/error.h>

#if defined(MBEDTLS_SHA1_C)

#include <mbedtls/sha1.h>

int cw_sha1(struct cw_span bytes, uint8_t digest[CW_SHA1_SIZE])
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    int error = mbedtls_sha1(bytes.data, bytes.len, digest);
#else
    int error = mbedtls_sha1_ret(bytes.data, bytes.len, digest);
#endif

    return error == 0 ? CW_OK : CW_EOS;
}

#else

int cw_sha1(struct cw_span bytes, uint8_t digest[CW_SHA1_SIZE])
{
    return CW_EOS;
}

#endif
