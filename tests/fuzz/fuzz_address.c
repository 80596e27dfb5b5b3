/* Whatever the text: an address that was read is the same when it is printed and read again, a prefix holds its own
 * network, and an endpoint is a path or a host with a port. */
#include "address_impl.h"

#include <causeway/error.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

static void try_address(const char *text)
{
    struct cw_address address;
    struct cw_address again;
    char printed[CW_ADDRESS_TEXT_MAX];

    if (cw_address_parse(text, &address) != CW_OK) {
        expect(address.family == CW_FAMILY_NONE);
        return;
    }
    expect(cw_address_parse(cw_address_print(&address, printed), &again) == CW_OK);
    expect(memcmp(&address, &again, sizeof address) == 0);
}

static void try_prefix(const char *text)
{
    struct cw_cidr cidr;

    if (cw_cidr_parse(text, &cidr) == CW_OK) {
        expect(cw_cidr_contains(&cidr, &cidr.network));
    }
}

static void try_endpoint(const char *text)
{
    struct cw_endpoint endpoint;
    struct cw_complaint complaint = {""};

    if (cw_endpoint_parse(text, &endpoint, &complaint) == CW_OK) {
        expect((endpoint.unix_path[0] == '\0') == (endpoint.host[0] != '\0' && endpoint.port != 0));
    } else {
        expect(complaint.text[0] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    expect(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    try_address(text);
    try_prefix(text);
    try_endpoint(text);
    free(text);
    return 0;
}
