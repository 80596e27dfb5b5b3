/* Names: which certificate is shown for one (SNI), and whether one is in a certificate. */
#include "tls_context_impl.h"

#include <ctype.h>
#include <stdlib.h>

/* RFC 5280 §4.2.1.6, the numbers of GeneralName. */
enum { SAN_DNS = 2, SAN_IP = 7, TAG_NUMBER = 0x1f };

static char lower(char c)
{
    return (char)tolower((unsigned char)c);
}

char *cw_tls_name_copy(const char *name, size_t len)
{
    char *copy;

    if (len > 1 && name[len - 1] == '.') {
        len--;
    }
    copy = cw_alloc(len + 1);
    if (copy) {
        for (size_t i = 0; i < len; i++) {
            copy[i] = lower(name[i]);
        }
        copy[len] = '\0';
    }
    return copy;
}

/* ---- in a certificate ---- */

static bool same_text(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (lower(a[i]) != lower(b[i])) {
            return false;
        }
    }
    return true;
}

/* RFC 6125 §6.4.3: the wildcard is all of the leftmost label and stands for one label. `*.org` would name everybody. */
bool cw_tls_name_matches(const char *pattern, size_t pattern_len, const char *host)
{
    const char *host_rest = host;

    if (pattern_len > 1 && pattern[pattern_len - 1] == '.') {
        pattern_len--;
    }
    if (pattern_len > 2 && pattern[0] == '*' && pattern[1] == '.') {
        host_rest = strchr(host, '.');
        if (!host_rest || host_rest == host || !memchr(pattern + 2, '.', pattern_len - 2)) {
            return false;
        }
        pattern++;
        pattern_len--;
    }
    return strlen(host_rest) == pattern_len && pattern_len > 0 &&
           same_text(pattern, host_rest, pattern_len);
}

static bool entry_matches(const struct cw_tls_host *host, const mbedtls_x509_buf *entry)
{
    switch (entry->tag & TAG_NUMBER) {
    case SAN_DNS:
        return host->ip_len == 0 &&
               cw_tls_name_matches((const char *)entry->p, entry->len, host->name);
    case SAN_IP:
        return host->ip_len > 0 && entry->len == host->ip_len &&
               memcmp(entry->p, host->ip, host->ip_len) == 0;
    default:
        return false;
    }
}

static bool common_name_matches(const struct cw_tls_host *host, const mbedtls_x509_crt *crt)
{
    for (const mbedtls_x509_name *name = &crt->subject; name; name = name->next) {
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &name->oid) == 0 &&
            cw_tls_name_matches((const char *)name->val.p, name->val.len, host->name)) {
            return true;
        }
    }
    return false;
}

/* RFC 6125 §6.4.4: the common name counts only where there is no alternative name at all, and never for an address. */
bool cw_tls_host_in_certificate(const struct cw_tls_host *host, const mbedtls_x509_crt *crt)
{
    if (crt->subject_alt_names.buf.p == NULL) {
        return host->ip_len == 0 && common_name_matches(host, crt);
    }
    for (const mbedtls_x509_sequence *san = &crt->subject_alt_names; san; san = san->next) {
        if (entry_matches(host, &san->buf)) {
            return true;
        }
    }
    return false;
}

/* ---- which certificate for which name ---- */

static int grow(struct cw_tls_names *names)
{
    size_t cap = names->cap == 0 ? 8 : names->cap * 2;
    struct cw_tls_name *all = cw_resize(names->all, cap * sizeof *all);

    if (!all) {
        return CW_ENOMEM;
    }
    names->all = all;
    names->cap = cap;
    return CW_OK;
}

int cw_tls_names_add(struct cw_tls_names *names, const char *name, size_t len, size_t identity)
{
    if (len == 0) {
        return CW_OK;
    }
    if (names->count == names->cap && grow(names) < 0) {
        return CW_ENOMEM;
    }
    char *copy = cw_tls_name_copy(name, len);
    if (!copy) {
        return CW_ENOMEM;
    }
    names->all[names->count++] = (struct cw_tls_name){copy, identity};
    return CW_OK;
}

int cw_tls_names_add_list(struct cw_tls_names *names, const char *list, size_t identity)
{
    char name[CW_TLS_TOKEN_MAX];
    int error = CW_OK;
    int more;

    while (error == CW_OK && (more = cw_tls_list_next(&list, name, sizeof name)) != 0) {
        if (more > 0) {
            error = cw_tls_names_add(names, name, strlen(name), identity);
        }
    }
    return error;
}

int cw_tls_names_add_certificate(struct cw_tls_names *names, const mbedtls_x509_crt *crt,
                                 size_t identity)
{
    int error = CW_OK;

    if (crt->subject_alt_names.buf.p == NULL) {
        for (const mbedtls_x509_name *name = &crt->subject; name && error == CW_OK;
             name = name->next) {
            if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &name->oid) == 0) {
                error = cw_tls_names_add(names, (const char *)name->val.p, name->val.len, identity);
            }
        }
        return error;
    }
    for (const mbedtls_x509_sequence *san = &crt->subject_alt_names; san && error == CW_OK;
         san = san->next) {
        if ((san->buf.tag & TAG_NUMBER) == SAN_DNS) {
            error = cw_tls_names_add(names, (const char *)san->buf.p, san->buf.len, identity);
        }
    }
    return error;
}

static int compare(const void *a, const void *b)
{
    const struct cw_tls_name *one = a;
    const struct cw_tls_name *other = b;
    int order = strcmp(one->name, other->name);

    if (order != 0) {
        return order;
    }
    return one->identity < other->identity ? -1 : one->identity > other->identity;
}

void cw_tls_names_sort(struct cw_tls_names *names)
{
    size_t kept = 0;

    if (names->count == 0) {
        return;
    }
    qsort(names->all, names->count, sizeof *names->all, compare);
    for (size_t i = 1; i < names->count; i++) {
        if (compare(&names->all[kept], &names->all[i]) == 0) {
            cw_release(names->all[i].name); /* a certificate may say a name twice */
        } else {
            names->all[++kept] = names->all[i];
        }
    }
    names->count = kept + 1;
}

void cw_tls_names_free(struct cw_tls_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        cw_release(names->all[i].name);
    }
    cw_release(names->all);
    *names = (struct cw_tls_names){NULL, 0, 0};
}

/* The first entry that is not before the name. */
static size_t lower_bound(const struct cw_tls_names *names, const char *name)
{
    size_t low = 0;
    size_t high = names->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(names->all[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t find_exact(const struct cw_tls_names *names, const char *name, size_t *first)
{
    size_t end = *first = lower_bound(names, name);

    while (end < names->count && strcmp(names->all[end].name, name) == 0) {
        end++;
    }
    return end - *first;
}

size_t cw_tls_names_find(const struct cw_tls_names *names, const char *name, size_t *first)
{
    char wildcard[CW_TLS_TOKEN_MAX + 1] = "*";
    size_t count = find_exact(names, name, first);
    const char *rest = strchr(name, '.');

    if (count > 0 || !rest || rest == name || strlen(rest) >= CW_TLS_TOKEN_MAX) {
        return count;
    }
    memcpy(wildcard + 1, rest, strlen(rest) + 1);
    return find_exact(names, wildcard, first);
}
