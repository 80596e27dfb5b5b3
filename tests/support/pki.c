/* Certificates and keys for tests. */
#include "support/pki.h"

#include "support/wait.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char folder[] = CW_BUILD_DIR "/tests/pki/";

enum { PATHS_MAX = 64, PATH_CAP = 512 };

bool pki_made(void)
{
    return access(CW_BUILD_DIR "/tests/pki/made", F_OK) == 0;
}

const char *pki(const char *name)
{
    static char paths[PATHS_MAX][PATH_CAP];
    size_t i = 0;

    while (i < PATHS_MAX && paths[i][0] != '\0' && strcmp(paths[i] + strlen(folder), name) != 0) {
        i++;
    }
    rig_check(i < PATHS_MAX);
    rig_check(snprintf(paths[i], PATH_CAP, "%s%s", folder, name) < PATH_CAP);
    if (access(paths[i], R_OK) != 0) {
        rig_fail(__FILE__, __LINE__, "no certificate: %s", paths[i]);
    }
    return paths[i];
}
