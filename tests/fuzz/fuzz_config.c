/* Whatever stands in a file: it is read, or refused with a sentence that names the file. What is read once reads the same
 * again. */
#include "config_impl.h"
#include "server_impl.h"

#include <causeway/causeway.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

static void compare_again(struct cw_server *server)
{
    struct cw_complaint complaint;
    struct cw_config *again;
    char names[100];

    expect(cw_config_reread(server, &again, &complaint) == CW_OK);
    expect(cw_config_differs(server->config, again, names, sizeof names) == 0);
    cw_config_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct cw_service services[] = {cw_service(&cw_tcp, NULL, NULL),
                                          cw_service(&cw_line, NULL, NULL),
                                          cw_service(&cw_http, NULL, NULL)};
    const struct cw_config_options options = {
        .services = services, .service_count = 3, .ignored = "websocket"};
    struct cw_server *server = cw_create_server(&cw_framed);
    int fd = memfd_create("config", MFD_CLOEXEC);
    char path[40];

    expect(server != NULL);
    expect(fd >= 0);
    expect(write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    cw_log_set_level(CW_LOG_SILENT);
    if (cw_config_load(server, path, &options) == CW_OK) {
        expect(cw_server_error(server)[0] == '\0');
        compare_again(server);
    } else {
        expect(strncmp(cw_server_error(server), path, strlen(path)) == 0);
        expect(server->config == NULL);
        expect(server->listens == NULL);
    }
    cw_server_free(server);
    close(fd);
    return 0;
}
