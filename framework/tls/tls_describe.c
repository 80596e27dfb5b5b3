/* What a connection can tell about its TLS. */
#include "tls_context_impl.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>

static const char *text_or_none(const char *text)
{
    return text ? text : "";
}

static void describe_peer(const struct cw_tls_session *session, struct cw_tls_info *info)
{
    uint32_t flags = session->verdict | mbedtls_ssl_get_verify_result(&session->ssl);

    info->has_peer_cert = mbedtls_ssl_get_peer_cert(&session->ssl) != NULL;
    info->verified = flags == 0 && info->has_peer_cert;
    if (info->verified) {
        return;
    }
    snprintf(info->why_not, sizeof info->why_not, "%s",
             !info->has_peer_cert ? "the peer has shown no certificate"
             : session->why       ? session->why
                                  : cw_tls_verify_words(flags));
}

void cw_tls_describe(const struct cw_tls_session *session, struct cw_tls_info *info)
{
    const struct cw_tls_generation *generation = session->generation;
    const char *cipher = mbedtls_ssl_get_ciphersuite(&session->ssl);
    const char *name = session->server_name;

    if (generation->role == CW_CLIENT && generation->host.ip_len == 0) {
        name = generation->host.name;
    }
    *info = (struct cw_tls_info){
        .version = text_or_none(mbedtls_ssl_get_version(&session->ssl)),
        .cipher = cipher ? cw_tls_cipher_name(mbedtls_ssl_get_ciphersuite_id(cipher)) : "",
        .group = cw_tls_group_name(session->group),
        .server_name = text_or_none(name),
        .alpn = text_or_none(mbedtls_ssl_get_alpn_protocol(&session->ssl)),
        .resumed = session->resumed,
    };
    describe_peer(session, info);
}

/* ---- a certificate ---- */

enum { SAN_DNS = 2, SAN_IP = 7, TAG_NUMBER = 0x1f };

/* A text that ends in `…` where it had to be cut. */
struct writer {
    char *text;
    size_t len;
    size_t cap;
    bool cut;
};

static const char ellipsis[] = "\xe2\x80\xa6";

/* All or nothing, but for the end: there is always room for the ellipsis. */
static void write_bytes(struct writer *writer, const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len && !writer->cut; i++) {
        if (writer->len + sizeof ellipsis >= writer->cap) {
            /* No half of a character stays in front of it. */
            while (writer->len > 0 &&
                   ((unsigned char)writer->text[writer->len - 1] & 0xc0) == 0x80) {
                writer->len--;
            }
            if (writer->len > 0 && ((unsigned char)writer->text[writer->len - 1] & 0xc0) == 0xc0) {
                writer->len--;
            }
            memcpy(writer->text + writer->len, ellipsis, sizeof ellipsis);
            writer->cut = true;
            return;
        }
        writer->text[writer->len++] = (char)(bytes[i] < ' ' || bytes[i] == 127 ? '?' : bytes[i]);
        writer->text[writer->len] = '\0';
    }
}

static void write_text(struct writer *writer, const char *text)
{
    write_bytes(writer, (const unsigned char *)text, strlen(text));
}

static void write_hex(struct writer *writer, const unsigned char *bytes, size_t len)
{
    char pair[3];

    for (size_t i = 0; i < len; i++) {
        snprintf(pair, sizeof pair, "%02x", bytes[i]);
        write_text(writer, pair);
    }
}

static void write_name(struct writer *writer, const mbedtls_x509_name *name)
{
    for (const mbedtls_x509_name *part = name; part; part = part->next) {
        const char *type = NULL;

        if (!part->oid.p) {
            continue;
        }
        if (writer->len > 0) {
            write_text(writer, ", ");
        }
        if (mbedtls_oid_get_attr_short_name(&part->oid, &type) != 0) {
            type = "?";
        }
        write_text(writer, type);
        write_text(writer, "=");
        write_bytes(writer, part->val.p, part->val.len);
    }
}

static void write_address(struct writer *writer, const mbedtls_x509_buf *entry)
{
    char text[INET6_ADDRSTRLEN];

    if ((entry->len == 4 || entry->len == 16) &&
        inet_ntop(entry->len == 4 ? AF_INET : AF_INET6, entry->p, text, sizeof text)) {
        write_text(writer, text);
    }
}

static void write_alternatives(struct writer *writer, const mbedtls_x509_crt *crt)
{
    for (const mbedtls_x509_sequence *san = &crt->subject_alt_names; san; san = san->next) {
        int kind = san->buf.tag & TAG_NUMBER;

        if (!san->buf.p || (kind != SAN_DNS && kind != SAN_IP)) {
            continue;
        }
        if (writer->len > 0) {
            write_text(writer, ", ");
        }
        if (kind == SAN_DNS) {
            write_bytes(writer, san->buf.p, san->buf.len);
        } else {
            write_address(writer, &san->buf);
        }
    }
}

static int64_t seconds_of(const mbedtls_x509_time *time)
{
    struct tm broken = {
        .tm_year = time->year - 1900,
        .tm_mon = time->mon - 1,
        .tm_mday = time->day,
        .tm_hour = time->hour,
        .tm_min = time->min,
        .tm_sec = time->sec,
    };

    return (int64_t)timegm(&broken);
}

void cw_tls_describe_certificate(const mbedtls_x509_crt *crt, struct cw_tls_peer_cert *cert)
{
    uint8_t digest[32];
    struct writer subject = {cert->subject, 0, sizeof cert->subject, false};
    struct writer issuer = {cert->issuer, 0, sizeof cert->issuer, false};
    struct writer names = {cert->names, 0, sizeof cert->names, false};
    struct writer serial = {cert->serial, 0, sizeof cert->serial, false};
    struct writer fingerprint = {cert->fingerprint, 0, sizeof cert->fingerprint + 3, false};

    write_name(&subject, &crt->subject);
    write_name(&issuer, &crt->issuer);
    write_alternatives(&names, crt);
    write_hex(&serial, crt->serial.p, crt->serial.len);
    if (cw_tls_sha256(crt->raw.p, crt->raw.len, digest) == 0) {
        write_hex(&fingerprint, digest, sizeof digest);
    }
    cert->not_before = seconds_of(&crt->valid_from);
    cert->not_after = seconds_of(&crt->valid_to);
}

int cw_tls_describe_peer(const struct cw_tls_session *session, struct cw_tls_peer_cert *cert)
{
    const mbedtls_x509_crt *crt = mbedtls_ssl_get_peer_cert(&session->ssl);

    memset(cert, 0, sizeof *cert);
    if (!crt) {
        return CW_ENOTFOUND;
    }
    cw_tls_describe_certificate(crt, cert);
    return CW_OK;
}
