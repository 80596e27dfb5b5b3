/* udp_time: tells the time by SNTP (RFC 5905 §14), to anybody, and keeps nothing of anybody. */
#include <causeway/causeway.h>
#include <stdlib.h>
#include <time.h>

enum {
    PACKET_BYTES = 48,
    MODE_CLIENT = 3,
    MODE_SERVER = 4,
    STRATUM = 10, /* of a clock that nobody vouches for */
};

static const uint64_t since_1900_s = 2208988800; /* from there to 1970 */

static void store_be32(uint8_t *at, uint32_t number)
{
    at[0] = (uint8_t)(number >> 24);
    at[1] = (uint8_t)(number >> 16);
    at[2] = (uint8_t)(number >> 8);
    at[3] = (uint8_t)number;
}

/* Seconds since 1900, then a binary fraction. */
static void store_now(uint8_t *at)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    store_be32(at, (uint32_t)((uint64_t)now.tv_sec + since_1900_s));
    store_be32(at + 4, (uint32_t)(((uint64_t)now.tv_nsec << 32) / 1000000000));
}

/* Asked for 48 bytes, answers 48: nobody gains by asking in another's name. What is no question is not answered, so that two
 * of these cannot keep each other busy. */
static void answer(struct cw_loop *loop, struct cw_datagram *from, const struct cw_message *msg,
                   void *user)
{
    const uint8_t *asked = msg->body.data;
    uint8_t reply[PACKET_BYTES] = {0};

    if (msg->body.len < PACKET_BYTES || (asked[0] & 7) != MODE_CLIENT) {
        return;
    }
    reply[0] = (uint8_t)((asked[0] & 0x38) | MODE_SERVER); /* its version, and what we are */
    reply[1] = STRATUM;
    reply[2] = asked[2];
    reply[3] = (uint8_t)-20;           /* precise to a microsecond, 2^-20 s */
    memcpy(reply + 12, "LOCL", 4);     /* the machine's own clock, */
    store_now(reply + 16);             /* which was set just now */
    memcpy(reply + 24, asked + 40, 8); /* when he asked, by his clock */
    memcpy(reply + 32, reply + 16, 8); /* when it came, */
    store_now(reply + 40);             /* and when this leaves */
    cw_datagram_reply(loop, from, cw_span_of(reply, sizeof reply));
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_udp);

    cw_udp_configure(server, &(struct cw_udp_options){.on_datagram = answer});
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}
