/* Runs every file of the folders given through a fuzz target: whole, and cut in half. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly that size, so that AddressSanitizer sees a read past the end. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    if (copy == NULL) {
        abort();
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* Returns 1: a file was run; 0: not a regular file; -1: it cannot be read. */
static int replay_file(const char *path)
{
    struct stat info;

    if (stat(path, &info) != 0) {
        return -1;
    }
    if (!S_ISREG(info.st_mode)) {
        return 0;
    }

    FILE *file = fopen(path, "rb");
    size_t size = (size_t)info.st_size;
    uint8_t *data = malloc(size + 1);
    int result = -1;

    if (file != NULL && data != NULL && fread(data, 1, size, file) == size) {
        run(data, size);
        run(data, size / 2);
        result = 1;
    }
    free(data);
    if (file != NULL) {
        fclose(file);
    }
    return result;
}

/* Returns how many files were run, -1 after saying what could not be read. */
static int replay_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    int count = 0;

    if (dir == NULL) {
        perror(folder);
        return -1;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[4096];
        int length = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        int ran = length > 0 && (size_t)length < sizeof path ? replay_file(path) : -1;

        if (ran < 0) {
            fprintf(stderr, "%s/%s: cannot be read\n", folder, entry->d_name);
            closedir(dir);
            return -1;
        }
        count += ran;
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int count = replay_folder(argv[i]);

        if (count < 0) {
            return 1;
        }
        total += count;
    }
    run((const uint8_t *)"", 0);
    printf("%d inputs replayed, whole and halved\n", total);
    if (total == 0) {
        fprintf(stderr, "an empty corpus proves nothing\n");
        return 1;
    }
    return 0;
}
