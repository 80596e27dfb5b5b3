#include "support/descriptors.h"

#include "support/wait.h"

#include <dirent.h>

int rig_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    rig_check(dir);
    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count;
}
