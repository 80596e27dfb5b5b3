/* What costs a peer a few bytes and the server a second: nobody but itself waits for it. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/tls_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <sched.h>
#include <string.h>

static void skip_without_certificates(void)
{
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(tls_breaker, .init = skip_without_certificates, .fini = rig_expect_no_leak,
          .timeout = 120);

/* ---- DER (X.690) ---- */

enum { KEY_BYTES = 1024, CHAIN = 4, ENOUGH_ECHOES = 20 };
enum {
    SEQUENCE = 0x30,
    SET = 0x31,
    INTEGER = 2,
    BITS = 3,
    OCTETS = 4,
    OID = 6,
    UTF8 = 12,
    TIME = 23
};

struct der {
    uint8_t data[16384];
    size_t len;
};

static void add(struct der *der, const void *data, size_t len)
{
    cr_assert_leq(len, sizeof der->data - der->len);
    memcpy(der->data + der->len, data, len);
    der->len += len;
}

static void fill(struct der *der, int byte, size_t len)
{
    cr_assert_leq(len, sizeof der->data - der->len);
    memset(der->data + der->len, byte, len);
    der->len += len;
}

/* What stands there from `start` becomes the value of a tag. */
static void wrap(struct der *der, size_t start, uint8_t tag)
{
    size_t len = der->len - start;
    const uint8_t head[] = {tag, 0x82, (uint8_t)(len >> 8), (uint8_t)len};

    fill(der, 0, sizeof head);
    memmove(der->data + start + sizeof head, der->data + start, len);
    memcpy(der->data + start, head, sizeof head);
}

static void add_value(struct der *der, uint8_t tag, const void *data, size_t len)
{
    size_t start = der->len;

    add(der, data, len);
    wrap(der, start, tag);
}

static void add_name(struct der *der, char number)
{
    size_t start = der->len;

    add_value(der, OID, "\x55\x04\x03", 3);
    add_value(der, UTF8, &number, 1);
    wrap(der, start, SEQUENCE);
    wrap(der, start, SET);
    wrap(der, start, SEQUENCE);
}

/* 1.2.840.113549.1.1.`last`: rsaEncryption is 1, sha256WithRSAEncryption 11. */
static void add_algorithm(struct der *der, char last)
{
    char oid[] = "\x2a\x86\x48\x86\xf7\x0d\x01\x01?";
    size_t start = der->len;

    oid[8] = last;
    add_value(der, OID, oid, 9);
    add(der, "\x05", 2);
    wrap(der, start, SEQUENCE);
}

/* RSA of 8192 bits with an exponent nearly as long: what a signature costs to verify grows with both. */
static void add_key(struct der *der)
{
    size_t start = der->len;
    size_t key;

    add_algorithm(der, 1);
    key = der->len;
    fill(der, 0, 2); /* the bits' unused ones; the integer's sign */
    fill(der, 0xff, KEY_BYTES);
    wrap(der, key + 1, INTEGER);
    size_t exponent = der->len;
    fill(der, 0x7f, KEY_BYTES);
    wrap(der, exponent, INTEGER);
    wrap(der, key + 1, SEQUENCE);
    wrap(der, key, BITS);
    wrap(der, start, SEQUENCE);
}

static void add_ca(struct der *der)
{
    size_t start = der->len;

    add_value(der, OID, "\x55\x1d\x13", 3);
    add_value(der, OCTETS, "\x30\x03\x01\x01\xff", 5);
    wrap(der, start, SEQUENCE);
    wrap(der, start, SEQUENCE);
    wrap(der, start, 0xa3);
}

/* Nothing of it is signed by anybody; that is found out by verifying. */
static void add_certificate(struct der *der, char number)
{
    size_t start = der->len;
    size_t part;

    add(der, "\xa0\x03\x02\x01\x02\x02\x01\x01", 8); /* version 3, serial number 1 */
    add_algorithm(der, 11);
    add_name(der, (char)(number + 1));
    part = der->len;
    add_value(der, TIME, "200101000000Z", 13);
    add_value(der, TIME, "400101000000Z", 13);
    wrap(der, part, SEQUENCE);
    add_name(der, number);
    add_key(der);
    add_ca(der);
    wrap(der, start, SEQUENCE);
    add_algorithm(der, 11);
    part = der->len;
    fill(der, 0, 1);
    fill(der, 1, KEY_BYTES);
    wrap(der, part, BITS);
    wrap(der, start, SEQUENCE);
}

/* ---- the handshake's message (RFC 5246 §7.4.2) in its record ---- */

static void put_length(uint8_t *at, size_t len)
{
    at[0] = (uint8_t)(len >> 16);
    at[1] = (uint8_t)(len >> 8);
    at[2] = (uint8_t)len;
}

static void add_message(struct der *der)
{
    add(der, "\x16\x03\x03--\x0b---===", 12);
    for (int i = 0; i < CHAIN; i++) {
        size_t start = der->len;

        fill(der, 0, 3);
        add_certificate(der, (char)('a' + i));
        put_length(der->data + start, der->len - start - 3);
    }
    der->data[3] = (uint8_t)((der->len - 5) >> 8);
    der->data[4] = (uint8_t)(der->len - 5);
    put_length(der->data + 6, der->len - 9);
    put_length(der->data + 9, der->len - 12);
}

/* ---- the attack ---- */

static void send_costly_chain(struct rig_peer *peer)
{
    static struct der message;
    struct rig_bytes hello = rig_tap_hello_bytes(12);

    message.len = 0;
    add_message(&message);
    rig_peer_send(peer, hello.data, hello.len);
    rig_peer_send(peer, message.data, message.len);
    rig_release(&hello);
}

static void use_one_processor(void)
{
    cpu_set_t set;
    int first = 0;

    cr_assert_eq(sched_getaffinity(0, sizeof set, &set), 0);
    while (!CPU_ISSET(first, &set)) {
        first++;
    }
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    cr_assert_eq(sched_setaffinity(0, sizeof set, &set), 0);
}

Test(tls_breaker, a_chain_that_takes_a_second_to_verify_does_not_stop_who_is_in_on_one_processor)
{
    struct rig_tls_scene scene;
    struct rig_peer peer;
    struct rig_tap open;
    unsigned echoes = 0;

    use_one_processor();
    rig_tls_begin(
        &scene, NULL,
        &(struct cw_tls_options){.ca = pki("ca.pem"), .client_cert = CW_CLIENT_CERT_REQUEST});
    rig_tap_connect(&open, scene.port, 12);
    peer = rig_peer_tcp(scene.port);
    send_costly_chain(&peer);
    while (atomic_load(&scene.story.errors) == 0 && echoes < ENOUGH_ECHOES) {
        rig_tap_expect_echo(&open, "it goes on");
        echoes++;
    }
    cr_assert_eq(echoes, ENOUGH_ECHOES, "%u echoes while the chain was verified", echoes);
    rig_tls_expect_report(&scene, CW_ECERT, MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA);
    rig_peer_close(&peer);
    rig_tap_notify(&open);
    cr_assert_eq(rig_tap_end(&open), RIG_CLOSE_NOTIFY);
    rig_tap_close(&open);
    rig_tls_end(&scene);
}
