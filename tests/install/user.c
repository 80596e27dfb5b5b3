/* What a user of the installed library writes. The install tests build and run it. */
#include <causeway/causeway.h>
#include <causeway/version.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    struct cw_server *server = cw_create_server(&cw_framed);

    cw_server_free(server);
    printf("causeway %s\n", cw_version());
    return server != NULL && strcmp(cw_version(), CW_VERSION) == 0 ? 0 : 1;
}
