/* Certificates, keys, trusted CAs and revocation lists from files and texts. */
#include "tls_context_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_MAX_BYTES = 1 << 20,
    BUNDLE_MAX_BYTES = 16 << 20,
    DIRECTORY_FILES_MAX = 4096,
    PATH_TEXT_MAX = 4096,
    SHOWN_MAX = 64, /* of a path, in a complaint */
};

static bool is_pem(const char *text)
{
    return strstr(text, "-----BEGIN") != NULL;
}

/* The end of a long path says more than its beginning. What is no path may be a key that lost its first line, or came in
 * base64 by itself: no message repeats it. */
static const char *shown(const char *text)
{
    size_t len = strlen(text);

    if (is_pem(text)) {
        return "the text";
    }
    if (strchr(text, '\n') || (len > SHOWN_MAX && !strchr(text, '.'))) {
        return "a text that is neither PEM nor a path";
    }
    return len > SHOWN_MAX ? text + (len - SHOWN_MAX) : text;
}

static int complain_of(const struct cw_tls_source *source, int code, const char *what,
                       struct cw_complaint *complaint)
{
    return cw_tls_complain(complaint, code, "%s: %s: %s", source->option, shown(source->text), what);
}

/* ---- bytes ---- */

void cw_tls_content_wipe(struct cw_tls_content *bytes)
{
    if (bytes->data) {
        mbedtls_platform_zeroize(bytes->data, bytes->len);
        cw_release(bytes->data);
    }
    *bytes = (struct cw_tls_content){NULL, 0};
}

static int complain_errno(const struct cw_tls_source *source, int os_errno,
                          struct cw_complaint *complaint)
{
    char text[80];

    if (os_errno == ENOENT || os_errno == ENOTDIR) {
        return complain_of(source, CW_ENOPATH, "no such file", complaint);
    }
    if (os_errno == EACCES || os_errno == EPERM) {
        return complain_of(source, CW_EACCESS, "permission denied", complaint);
    }
    snprintf(text, sizeof text, "cannot be read (errno %d)", os_errno);
    return complain_of(source, CW_EOS, text, complaint);
}

static int complain_size(const struct cw_tls_source *source, struct cw_complaint *complaint)
{
    char text[80];

    snprintf(text, sizeof text, "larger than %zu bytes", source->max);
    return complain_of(source, CW_ETOOBIG, text, complaint);
}

/* A file that grows while it is read stays within what its size promised. */
static int fill_from(int fd, struct cw_tls_content *bytes, size_t size)
{
    while (bytes->len < size) {
        ssize_t got = read(fd, bytes->data + bytes->len, size - bytes->len);

        if (got < 0 && errno != EINTR) {
            return errno;
        }
        if (got == 0) {
            break;
        }
        bytes->len += got > 0 ? (size_t)got : 0;
    }
    bytes->data[bytes->len] = '\0';
    return 0;
}

static int read_open(int fd, const struct cw_tls_source *source, struct cw_tls_content *bytes,
                     struct cw_complaint *complaint)
{
    struct stat status;

    if (fstat(fd, &status) < 0) {
        return complain_errno(source, errno, complaint);
    }
    if (!S_ISREG(status.st_mode)) {
        return complain_of(source, CW_EINVAL, "not a file", complaint);
    }
    if ((uint64_t)status.st_size > source->max) {
        return complain_size(source, complaint);
    }
    bytes->data = cw_alloc((size_t)status.st_size + 1);
    if (!bytes->data) {
        return cw_tls_complain(complaint, CW_ENOMEM, "%s: out of memory", source->option);
    }
    int os_errno = fill_from(fd, bytes, (size_t)status.st_size);
    if (os_errno != 0) {
        cw_tls_content_wipe(bytes);
        return complain_errno(source, os_errno, complaint);
    }
    return CW_OK;
}

static int copy_text(const struct cw_tls_source *source, struct cw_tls_content *bytes,
                     struct cw_complaint *complaint)
{
    size_t len = strlen(source->text);

    if (len > source->max) {
        return complain_size(source, complaint);
    }
    bytes->data = cw_alloc(len + 1);
    if (!bytes->data) {
        return cw_tls_complain(complaint, CW_ENOMEM, "%s: out of memory", source->option);
    }
    memcpy(bytes->data, source->text, len + 1);
    bytes->len = len;
    return CW_OK;
}

int cw_tls_content_read(const struct cw_tls_source *source, struct cw_tls_content *bytes,
                        struct cw_complaint *complaint)
{
    *bytes = (struct cw_tls_content){NULL, 0};
    if (is_pem(source->text)) {
        return copy_text(source, bytes, complaint);
    }
    /* O_NONBLOCK: a named pipe in that place must not stop us; it is no file and refused. */
    int fd = open(source->text, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return complain_errno(source, errno, complaint);
    }
    int error = read_open(fd, source, bytes, complaint);
    close(fd);
    return error;
}

/* The library tells PEM from DER by a zero byte behind the text, which counts as part of it. */
static size_t parse_len(const struct cw_tls_content *bytes)
{
    return is_pem((const char *)bytes->data) ? bytes->len + 1 : bytes->len;
}

static bool has_key(const struct cw_tls_content *bytes)
{
    return strstr((const char *)bytes->data, "PRIVATE KEY-----") != NULL;
}

/* ---- a certificate and its key ---- */

static void warn_of_dates(const struct cw_tls_source *source, const mbedtls_x509_crt *crt)
{
    if (mbedtls_x509_time_is_past(&crt->valid_to)) {
        cw_log(CW_LOG_WARNING, 0, "%s: %s: the certificate has expired", source->option,
               shown(source->text));
    } else if (mbedtls_x509_time_is_future(&crt->valid_from)) {
        cw_log(CW_LOG_WARNING, 0, "%s: %s: the certificate is not valid yet", source->option,
               shown(source->text));
    }
}

static void warn_of_mode(const struct cw_tls_source *source)
{
    struct stat status;

    if (!is_pem(source->text) && stat(source->text, &status) == 0 && (status.st_mode & S_IROTH)) {
        cw_log(CW_LOG_WARNING, 0, "%s: %s: every user of this machine may read the key",
               source->option, shown(source->text));
    }
}

static int complain_library(const struct cw_tls_source *source, const char *what, int library_error,
                            struct cw_complaint *complaint)
{
    char text[96];

    if (library_error == MBEDTLS_ERR_X509_ALLOC_FAILED ||
        library_error == MBEDTLS_ERR_PK_ALLOC_FAILED) {
        return cw_tls_complain(complaint, CW_ENOMEM, "%s: out of memory", source->option);
    }
    snprintf(text, sizeof text, "%s (-0x%04x)", what, (unsigned)-library_error);
    return complain_of(source, CW_ECERT, text, complaint);
}

static int parse_chain(mbedtls_x509_crt *chain, const struct cw_tls_source *source,
                       const struct cw_tls_content *bytes, struct cw_complaint *complaint)
{
    int result = mbedtls_x509_crt_parse(chain, bytes->data, parse_len(bytes));

    if (result < 0) {
        return complain_library(source, "holds no certificate", result, complaint);
    }
    if (result > 0) {
        return complain_of(source, CW_ECERT, "one of its certificates cannot be read", complaint);
    }
    return CW_OK;
}

static int parse_key(mbedtls_pk_context *key, const struct cw_tls_source *source,
                     const struct cw_tls_content *bytes, const char *passphrase,
                     struct cw_complaint *complaint)
{
    int result = cw_tls_parse_key(key, bytes->data, parse_len(bytes), passphrase);

    switch (result) {
    case 0:
        return CW_OK;
    case MBEDTLS_ERR_PK_PASSWORD_REQUIRED:
        return complain_of(source, CW_ECERT, "the passphrase is missing", complaint);
    case MBEDTLS_ERR_PK_PASSWORD_MISMATCH:
        return complain_of(source, CW_ECERT, "the passphrase is wrong", complaint);
    default:
        break;
    }
    if (strstr((const char *)bytes->data, "ENCRYPTED PRIVATE KEY")) {
        return complain_of(source, CW_ECERT,
                           "is encrypted in a way that mbedTLS " MBEDTLS_VERSION_STRING
                           " cannot open: openssl pkey -traditional -aes256",
                           complaint);
    }
    return complain_library(source, "holds no key that can be read", result, complaint);
}

static int read_key(struct cw_tls_identity *identity, const struct cw_tls_source *source,
                    const char *passphrase, struct cw_complaint *complaint)
{
    struct cw_tls_content bytes;
    int error = cw_tls_content_read(source, &bytes, complaint);

    if (!bytes.data) {
        return error;
    }
    if (has_key(&bytes) || !is_pem((const char *)bytes.data)) {
        error = parse_key(&identity->key, source, &bytes, passphrase, complaint);
    } else {
        error = complain_of(source, CW_ECERT, "holds no private key", complaint);
    }
    cw_tls_content_wipe(&bytes);
    return error;
}

static int read_chain(struct cw_tls_identity *identity, const struct cw_tls_source *source,
                      struct cw_complaint *complaint)
{
    struct cw_tls_content bytes;
    int error = cw_tls_content_read(source, &bytes, complaint);

    if (!bytes.data) {
        return error;
    }
    error = parse_chain(&identity->chain, source, &bytes, complaint);
    cw_tls_content_wipe(&bytes);
    return error;
}

/* The library's server never shows one that is not for servers; a client's is the server's to judge. */
static int check_use(const struct cw_tls_source *source, const mbedtls_x509_crt *crt,
                     enum cw_role role, struct cw_complaint *complaint)
{
    if (cw_tls_check_purpose(crt, role == CW_CLIENT) == 0) {
        return CW_OK;
    }
    if (role == CW_SERVER) {
        return complain_of(source, CW_ECERT, "the certificate is not for servers (key usage)",
                           complaint);
    }
    cw_log(CW_LOG_WARNING, 0, "%s: %s: the certificate is not for clients (key usage)",
           source->option, shown(source->text));
    return CW_OK;
}

int cw_tls_identity_read(struct cw_tls_identity *identity, const struct cw_tls_certificate *from,
                         const char *option, enum cw_role role, struct cw_complaint *complaint)
{
    char cert_option[48];
    char key_option[48];

    snprintf(cert_option, sizeof cert_option, "%s.cert", option);
    snprintf(key_option, sizeof key_option, "%s.%s", option, from->key ? "key" : "cert");
    const struct cw_tls_source cert = {cert_option, from->cert, FILE_MAX_BYTES};
    const struct cw_tls_source key = {key_option, from->key ? from->key : from->cert,
                                      FILE_MAX_BYTES};
    int error = read_chain(identity, &cert, complaint);
    error = error < 0 ? error : read_key(identity, &key, from->passphrase, complaint);
    if (error < 0) {
        return error;
    }
    if (cw_tls_check_pair(&identity->chain.pk, &identity->key) != 0) {
        return cw_tls_complain(complaint, CW_ECERT, "%s: %s: does not belong to the certificate %s",
                               key.option, shown(key.text), shown(cert.text));
    }
    cw_tls_fill_tables(&identity->key);
    warn_of_dates(&cert, &identity->chain);
    warn_of_mode(&key);
    return check_use(&cert, &identity->chain, role, complaint);
}

void cw_tls_identity_free(struct cw_tls_identity *identity)
{
    mbedtls_x509_crt_free(&identity->chain);
    mbedtls_pk_free(&identity->key);
}

/* ---- whom to trust ---- */

void cw_tls_digest_add(struct cw_tls_digest *digest, const void *bytes, size_t len)
{
    uint8_t both[64];

    memcpy(both, digest->bytes, 32);
    (void)cw_tls_sha256(bytes, len, both + 32);
    (void)cw_tls_sha256(both, sizeof both, digest->bytes);
}

/* lenient: what cannot be read is left out, as long as there is something. */
static int ca_file(mbedtls_x509_crt *ca, const struct cw_tls_source *source, bool lenient,
                   struct cw_tls_digest *digest, struct cw_complaint *complaint)
{
    struct cw_tls_content bytes;
    int error = cw_tls_content_read(source, &bytes, complaint);

    if (!bytes.data) {
        return error;
    }
    int result = mbedtls_x509_crt_parse(ca, bytes.data, parse_len(&bytes));
    if (result < 0) {
        error = complain_library(source, "holds no certificate", result, complaint);
    } else if (result > 0 && !lenient) {
        error = complain_of(source, CW_ECERT, "one of its certificates cannot be read", complaint);
    }
    cw_tls_digest_add(digest, bytes.data, bytes.len);
    cw_tls_content_wipe(&bytes);
    return error;
}

/* Directories of CAs hold each file twice, by its name and by its hash (`5ed36f99.0`); those that are no certificates
 * (README, lists) are passed over. */
static int ca_directory(mbedtls_x509_crt *ca, const struct cw_tls_source *source,
                        struct cw_tls_digest *digest, struct cw_complaint *complaint)
{
    struct dirent **entries = NULL;
    int count = scandir(source->text, &entries, NULL, alphasort);
    char path[PATH_TEXT_MAX];
    int error = count < 0 ? complain_errno(source, errno, complaint) : CW_OK;

    if (count > DIRECTORY_FILES_MAX + 2) {
        error = complain_of(source, CW_ETOOBIG, "more than 4096 files", complaint);
    }
    for (int i = 0; i < count; i++) {
        const struct cw_tls_source file = {source->option, path, source->max};
        int len = snprintf(path, sizeof path, "%s/%s", source->text, entries[i]->d_name);

        free(entries[i]);
        if (error == CW_OK && len > 0 && len < PATH_TEXT_MAX) {
            int one = ca_file(ca, &file, true, digest, complaint);
            error = one == CW_ENOMEM ? one : CW_OK;
        }
    }
    free(entries);
    if (error == CW_OK && ca->version == 0) {
        error = complain_of(source, CW_ECERT, "holds no certificate", complaint);
    }
    return error;
}

static bool is_directory(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

int cw_tls_ca_read(mbedtls_x509_crt *ca, const char *text, struct cw_tls_digest *digest,
                   struct cw_complaint *complaint)
{
    const struct cw_tls_source source = {"tls.ca", text, BUNDLE_MAX_BYTES};

    if (!is_pem(text) && is_directory(text)) {
        return ca_directory(ca, &source, digest, complaint);
    }
    return ca_file(ca, &source, false, digest, complaint);
}

/* Read for each context anew: 144 CAs take 4 to 9 ms, which is no reason for something global. */
int cw_tls_ca_system(mbedtls_x509_crt *ca, struct cw_tls_digest *digest,
                     struct cw_complaint *complaint)
{
    static const char *const files[] = {
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    };
    const char *file = getenv("SSL_CERT_FILE");
    const char *directory = getenv("SSL_CERT_DIR");

    if (file && *file) {
        const struct cw_tls_source source = {"SSL_CERT_FILE", file, BUNDLE_MAX_BYTES};
        return ca_file(ca, &source, true, digest, complaint);
    }
    if (directory && *directory) {
        const struct cw_tls_source source = {"SSL_CERT_DIR", directory, BUNDLE_MAX_BYTES};
        return ca_directory(ca, &source, digest, complaint);
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const struct cw_tls_source source = {"tls.ca", files[i], BUNDLE_MAX_BYTES};

        if (ca_file(ca, &source, true, digest, complaint) == CW_OK) {
            return CW_OK;
        }
    }
    return cw_tls_complain(complaint, CW_ECERT,
                           "tls.ca: this system has no store of CAs (Debian: ca-certificates): "
                           "install it, or name whom to trust");
}

/* ---- who is revoked ---- */

int cw_tls_crl_read(mbedtls_x509_crl *crl, const char *text, struct cw_tls_digest *digest,
                    struct cw_complaint *complaint)
{
    const struct cw_tls_source source = {"tls.crl", text, BUNDLE_MAX_BYTES};
    struct cw_tls_content bytes;
    int error = cw_tls_content_read(&source, &bytes, complaint);

    if (!bytes.data) {
        return error;
    }
    int result = mbedtls_x509_crl_parse(crl, bytes.data, parse_len(&bytes));
    if (result != 0) {
        error = complain_library(&source, "holds no revocation list", result, complaint);
    }
    cw_tls_digest_add(digest, bytes.data, bytes.len);
    cw_tls_content_wipe(&bytes);
    for (const mbedtls_x509_crl *one = crl; error == CW_OK && one && one->version != 0;
         one = one->next) {
        if (mbedtls_x509_time_is_past(&one->next_update)) {
            cw_log(CW_LOG_WARNING, 0,
                   "tls.crl: %s: the list has expired: peers of its CA will be refused",
                   shown(text));
        }
    }
    return error;
}
