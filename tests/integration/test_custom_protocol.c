/* The example of docs/writing-a-protocol.md over real sockets; and the page shows what is tested. */
#include "support/host.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/rig.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define main custom_protocol_main
int custom_protocol_main(void);
#include "../../examples/custom_protocol/custom_protocol.c"
#undef main

TestSuite(custom_protocol, .fini = rig_expect_no_leak, .timeout = 30);

/* ---- the page ---- */

static struct rig_bytes read_file(const char *path)
{
    struct rig_bytes bytes = {0};
    FILE *file = fopen(path, "rb");
    char buffer[4096];
    size_t n;

    cr_assert_not_null(file, "%s", path);
    while ((n = fread(buffer, 1, sizeof buffer, file)) > 0) {
        rig_append(&bytes, buffer, n);
    }
    fclose(file);
    return bytes;
}

Test(custom_protocol, the_page_shows_the_file_that_is_built)
{
    struct rig_bytes page = read_file(CW_SOURCE_DIR "/docs/writing-a-protocol.md");
    struct rig_bytes file = read_file(CW_SOURCE_DIR "/examples/custom_protocol/custom_protocol.c");
    struct rig_bytes block = {0};

    rig_append(&block, "```c\n", 5);
    rig_append(&block, file.data, file.len);
    rig_append(&block, "```\n", 4);
    cr_assert_not_null(memmem(page.data, page.len, block.data, block.len));
    rig_release(&page);
    rig_release(&file);
    rig_release(&block);
}

/* ---- sockets ---- */

/* Refusals are expected here; the log need not tell of them. */
static void forget_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
}

static struct rig_host *start(void)
{
    static const struct cw_hooks hooks = {.on_data = echo, .on_error = forget_error};

    return rig_host_start(rig_server(&parcel, NULL), &hooks, NULL);
}

Test(custom_protocol, parcels_come_back_however_they_are_cut)
{
    static const char parcels[] = "\2hi\x2d\0\0\1!\xde";
    struct rig_host *host = start();
    struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));
    char got[sizeof parcels - 1];

    for (size_t piece = 1; piece <= sizeof got; piece++) {
        rig_peer_send_slowly(&peer, parcels, sizeof got, piece);
        rig_peer_receive(&peer, got, sizeof got);
        cr_assert_arr_eq(got, parcels, sizeof got);
    }
    rig_peer_close(&peer);
    rig_host_end(host);
}

Test(custom_protocol, a_wrong_sum_ends_the_connection)
{
    struct rig_host *host = start();
    struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));

    rig_peer_send(&peer, "\2hi\x2d\1!!", 7);
    rig_peer_expect(&peer, "\2hi\x2d");
    rig_peer_expect_end(&peer);
    rig_peer_close(&peer);
    rig_host_end(host);
}
