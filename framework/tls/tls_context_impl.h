/* What the files of the shared side share: a generation of certificates and policy, and the steps that make one. */
#ifndef CW_TLS_CONTEXT_IMPL_H
#define CW_TLS_CONTEXT_IMPL_H

#include "tls_impl.h"
#include "tls_library.h"

#include <causeway/address.h>
#include <causeway/log.h>

#include <pthread.h>

/* ---- options: tls_options.c ---- */

enum {
    CW_TLS_ALPN_MAX = 16,
    CW_TLS_CERTIFICATES_MAX = 1024,
    CW_TLS_TOKEN_MAX = 256, /* one entry of a list, with its terminator */
};

/* Words the complaint; returns code. */
int cw_tls_complain(struct cw_complaint *complaint, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Cuts the next entry off a list of texts parted by commas or spaces. 1; 0: there is none; CW_ETOOBIG. */
int cw_tls_list_next(const char **rest, char *token, size_t cap);

/* Sixty-four hexadecimal digits, colons or not. 0 or CW_EINVAL. */
int cw_tls_fingerprint_parse(const char *text, uint8_t digest[32]);

/* What zero means is filled in; the options have been checked. */
void cw_tls_options_fill(struct cw_tls_options *options);

/* ---- policy: tls_policy.c ---- */

/* Suites and groups, most wanted first. NULL: the defaults. 0, or CW_EINVAL with the complaint worded. */
int cw_tls_policy_ciphers(const char *list, struct cw_tls_lists *lists,
                          struct cw_complaint *complaint);
int cw_tls_policy_groups(const char *list, struct cw_tls_lists *lists,
                         struct cw_complaint *complaint);
int cw_tls_policy_versions(enum cw_tls_version least, enum cw_tls_version most,
                           struct cw_complaint *complaint);

/* The IANA name of a suite; "" for one that is never spoken here. */
const char *cw_tls_cipher_name(int id);

/* Keys of 2048 bits (RSA) or 256 (curves), SHA-256 and better. */
extern const mbedtls_x509_crt_profile cw_tls_profile;

/* ---- files: tls_certs.c ---- */

/* A file or a text, followed by a zero byte. */
struct cw_tls_content {
    unsigned char *data;
    size_t len;
};

/* A certificate with those that lead to the root, and its key. */
struct cw_tls_identity {
    mbedtls_x509_crt chain;
    mbedtls_pk_context key;
};

/* Where something is read from and how a complaint names it: `tls.certificates[1].cert: server.pem`. */
struct cw_tls_source {
    const char *option; /* `tls.cert` */
    const char *text;   /* a path, or the PEM itself */
    size_t max;
};

/* 0, or an enum cw_error with the complaint worded. The caller wipes and frees. */
int cw_tls_content_read(const struct cw_tls_source *source, struct cw_tls_content *bytes,
                        struct cw_complaint *complaint);
void cw_tls_content_wipe(struct cw_tls_content *bytes);

/* option: `tls` or `tls.certificates[1]`; role: who will show it. */
int cw_tls_identity_read(struct cw_tls_identity *identity, const struct cw_tls_certificate *from,
                         const char *option, enum cw_role role, struct cw_complaint *complaint);
void cw_tls_identity_free(struct cw_tls_identity *identity);

/* A running digest of everything that a verification rests on. */
struct cw_tls_digest {
    uint8_t bytes[32];
};
void cw_tls_digest_add(struct cw_tls_digest *digest, const void *bytes, size_t len);

int cw_tls_ca_read(mbedtls_x509_crt *ca, const char *text, struct cw_tls_digest *digest,
                   struct cw_complaint *complaint);
int cw_tls_ca_system(mbedtls_x509_crt *ca, struct cw_tls_digest *digest,
                     struct cw_complaint *complaint);
int cw_tls_crl_read(mbedtls_x509_crl *crl, const char *text, struct cw_tls_digest *digest,
                    struct cw_complaint *complaint);

/* ---- names: tls_names.c ---- */

/* A name and the identity that is shown for it; sorted by name, then by identity. */
struct cw_tls_name {
    char *name;
    size_t identity;
};

struct cw_tls_names {
    struct cw_tls_name *all;
    size_t count;
    size_t cap;
};

/* 0 or CW_ENOMEM. The name is copied in lower case, a dot behind it is left out. */
int cw_tls_names_add(struct cw_tls_names *names, const char *name, size_t len, size_t identity);
int cw_tls_names_add_list(struct cw_tls_names *names, const char *list, size_t identity);
int cw_tls_names_add_certificate(struct cw_tls_names *names, const mbedtls_x509_crt *crt,
                                 size_t identity);
void cw_tls_names_sort(struct cw_tls_names *names);
void cw_tls_names_free(struct cw_tls_names *names);

/* Those for a name in lower case: the exact ones, else those with a wildcard. *first: their begin; returns their number. */
size_t cw_tls_names_find(const struct cw_tls_names *names, const char *name, size_t *first);

/* Whether a pattern (`example.org`, `*.example.org`) names this host. RFC 6125 §6.4. */
bool cw_tls_name_matches(const char *pattern, size_t pattern_len, const char *host);

/* Lower case without the dot behind it, from cw_alloc. NULL: no memory. */
char *cw_tls_name_copy(const char *name, size_t len);

/* Whom a client verifies. */
struct cw_tls_host {
    char *name;     /* lower case, or the address as it was written */
    uint8_t ip[16]; /* of an address */
    size_t ip_len;  /* 0: a name */
};

bool cw_tls_host_in_certificate(const struct cw_tls_host *host, const mbedtls_x509_crt *crt);

/* ---- verification: tls_verify.c ---- */

/* The library's callback; context: the session. */
int cw_tls_verify(void *context, mbedtls_x509_crt *crt, int depth, uint32_t *flags);

/* What the extensions say against its use by a client or a server: flags of the library. */
uint32_t cw_tls_check_purpose(const mbedtls_x509_crt *crt, bool of_client);

/* The worst of the flags in words; "" for 0. */
const char *cw_tls_verify_words(uint32_t flags);

/* The alert that is due for them. */
int cw_tls_verify_alert(uint32_t flags);

/* A name of a certificate in short: its CN, or all of it. */
void cw_tls_short_name(const mbedtls_x509_name *name, char *text, size_t cap);

/* ---- descriptions: tls_describe.c ---- */

void cw_tls_describe_certificate(const mbedtls_x509_crt *crt, struct cw_tls_peer_cert *cert);

/* ---- resumption: tls_resume.c ---- */

/* Ticket keys and session cache of a server, counted: generations whose verdicts are the same share them. */
struct cw_tls_resume;

struct cw_tls_resume *cw_tls_resume_new(const struct cw_tls_options *options, int *error);
struct cw_tls_resume *cw_tls_resume_hold(struct cw_tls_resume *resume);
void cw_tls_resume_drop(struct cw_tls_resume *resume);
/* Whether it can serve these options as well. */
bool cw_tls_resume_fits(const struct cw_tls_resume *resume, const struct cw_tls_options *options);
void cw_tls_resume_configure(struct cw_tls_resume *resume, mbedtls_ssl_config *conf);

/* A client's kept session: forgotten; offered to a new one. */
void cw_tls_kept_drop(struct cw_tls *tls);
void cw_tls_kept_offer(struct cw_tls_session *session);

/* ---- DTLS: dtls_context.c ---- */

struct cw_tls_generation;

/* What of the configuration is not as for a stream of bytes. 0 or CW_ENOMEM. */
int cw_dtls_configure(struct cw_tls_generation *generation);

/* ---- the whole: tls_context.c ---- */

struct cw_tls_generation {
    atomic_size_t holds;
    enum cw_role role;
    bool datagram;                   /* DTLS */
    mbedtls_ssl_cookie_ctx *cookies; /* its tls's */
    struct cw_tls_options *options;  /* defaults filled in */
    mbedtls_ssl_config conf;
    struct cw_tls_lists lists;
    char *alpn_text;
    const char *alpn[CW_TLS_ALPN_MAX + 1];
    mbedtls_x509_crt ca;
    mbedtls_x509_crl crl;
    struct cw_tls_digest digest;        /* of what verification rests on */
    struct cw_tls_identity *identities; /* the default first */
    size_t identity_count;
    struct cw_tls_names names;
    struct cw_tls_resume *resume; /* NULL: a client */
    struct cw_tls_host host;      /* CW_CLIENT */
    uint8_t fingerprint[32];
    bool has_fingerprint;
    bool uses_system_store;
    pthread_mutex_t verify_lock; /* see cw_tls_session_step */
    bool refuses_in_callback;    /* a certificate may be missing, but not bad */
    bool accepts_in_callback;    /* a certificate may be bad, but not missing */
};

/* What a client may resume. */
struct cw_tls_kept {
    bool full;
    mbedtls_ssl_session session;
    const struct cw_tls_generation
        *generation; /* under which it was made; not held, compared only while it is newest */
};

struct cw_tls {
    atomic_size_t holds;
    enum cw_role role;
    bool begins_plain;
    bool datagram; /* DTLS */
    bool has_moving_peers;
    struct cw_tls_records records;
    mbedtls_ssl_cookie_ctx cookies; /* of DTLS. Locked by the library itself */
    char *host;                     /* NULL: a server */
    pthread_mutex_t lock;           /* of the two below */
    struct cw_tls_generation *generation;
    struct cw_tls_kept kept;
};

#endif
