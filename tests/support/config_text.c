#include "support/config_text.h"

#include "server_impl.h"
#include "support/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct cw_server *rig_config_server;
char rig_config_folder[64];
char rig_config_path[128];

_Noreturn static void differ(const char *text, const char *said, const char *expected)
{
    fprintf(stderr, "%s\nsaid:     %s\nexpected: %s\n", text, said, expected);
    abort();
}

void rig_config_begin(void)
{
    snprintf(rig_config_folder, sizeof rig_config_folder, "/tmp/cw-config-XXXXXX");
    rig_check(mkdtemp(rig_config_folder) != NULL);
    snprintf(rig_config_path, sizeof rig_config_path, "%s/c.yaml", rig_config_folder);
}

void rig_config_end(void)
{
    cw_server_free(rig_config_server);
    rig_config_server = NULL;
    unlink(rig_config_path);
    rig_check(rmdir(rig_config_folder) == 0);
    rig_config_folder[0] = '\0';
}

void rig_config_write(const char *text)
{
    FILE *file = fopen(rig_config_path, "w");

    rig_check(file != NULL);
    fputs(text, file);
    fclose(file);
}

int rig_config_load_with(const char *text, const struct cw_config_options *options)
{
    if (rig_config_folder[0] == '\0') {
        rig_config_begin();
    }
    cw_server_free(rig_config_server);
    rig_config_server = cw_create_server(&cw_framed);
    rig_config_write(text);
    return cw_config_load(rig_config_server, rig_config_path, options);
}

const struct cw_config *rig_config_load(const char *text)
{
    char whole[4000];

    snprintf(whole, sizeof whole, "server:\n%s", text);
    if (rig_config_load_with(whole, NULL) != CW_OK) {
        differ(whole, cw_server_error(rig_config_server), "");
    }
    return rig_config_server->config;
}

const char *rig_config_said(void)
{
    const char *said = cw_server_error(rig_config_server);
    size_t len = strlen(rig_config_path);

    if (strncmp(said, rig_config_path, len) != 0) {
        differ("", said, rig_config_path);
    }
    return said + len;
}

void rig_config_expect_refused(const char *text, const char *sentence)
{
    if (rig_config_load_with(text, NULL) != CW_ECONFIG) {
        differ(text, cw_server_error(rig_config_server), sentence);
    }
    if (strcmp(rig_config_said(), sentence) != 0) {
        differ(text, rig_config_said(), sentence);
    }
    rig_check(rig_config_server->config == NULL);
    rig_check(rig_config_server->listens == NULL);
    rig_check(rig_config_server->options.conns_max == 10000);
}

void rig_config_expect_wrong(const char *text, const char *sentence)
{
    char whole[2000];

    snprintf(whole, sizeof whole, "server:\n%s", text);
    rig_config_expect_refused(whole, sentence);
}

char *rig_config_read_file(const char *name)
{
    char *text = calloc(1, 100001);
    FILE *file = fopen(name, "r");

    rig_check(file != NULL);
    rig_check(text != NULL);
    rig_check(fread(text, 1, 100000, file) > 0);
    fclose(file);
    return text;
}
