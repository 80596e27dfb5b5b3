/* A server that speaks TLS and echoes. */
#include "support/tls_scene.h"

#include "support/descriptors.h"
#include "support/scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <string.h>

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_story_on_data(conn, msg, user);
    rig_echo(conn, msg, user);
}

void rig_tls_begin(struct rig_tls_scene *scene, const struct cw_server_options *options,
                   const struct cw_tls_options *tls)
{
    struct cw_hooks hooks = rig_story_with_data(on_data);

    memset(scene, 0, sizeof *scene);
    scene->descriptors = rig_descriptors();
    scene->host = rig_host_start(rig_tls_server(&cw_tcp, options, tls), &hooks, &scene->story);
    scene->port = rig_host_port(scene->host, 0);
}

void rig_tls_expect_report(struct rig_tls_scene *scene, int code, int alert)
{
    const struct cw_error_report *report = &scene->story.report;

    scene->errors++;
    rig_await(atomic_load(&scene->story.errors) >= scene->errors);
    if (report->code != code || report->tls_alert != alert) {
        rig_fail(__FILE__, __LINE__, "%s, alert %d: %s", cw_error_name(report->code),
                 report->tls_alert, report->text);
    }
    rig_check(report->conn_id != 0);
    rig_check(scene->story.report_address.family == CW_IPV4);
    rig_check(strlen(report->text) > 5);
    for (const char *at = report->text; *at; at++) {
        rig_check((unsigned char)*at >= ' ' && *at != 127);
    }
}

void rig_tls_expect_served(struct rig_tls_scene *scene)
{
    struct rig_tap tap;

    rig_tap_connect(&tap, scene->port, 0);
    rig_tap_expect_echo(&tap, "still here");
    rig_tap_notify(&tap);
    rig_check(rig_tap_end(&tap) == RIG_CLOSE_NOTIFY);
    rig_tap_close(&tap);
}

void rig_tls_end_quietly(struct rig_tls_scene *scene)
{
    rig_await(rig_host_conns(scene->host) == 0);
    rig_host_end(scene->host);
    rig_check(atomic_load(&scene->story.opened) == atomic_load(&scene->story.closed));
    if (rig_descriptors() != scene->descriptors) {
        rig_fail(__FILE__, __LINE__, "%d descriptors, %d before", rig_descriptors(),
                 scene->descriptors);
    }
}

void rig_tls_end(struct rig_tls_scene *scene)
{
    rig_tls_expect_served(scene);
    rig_tls_end_quietly(scene);
}
