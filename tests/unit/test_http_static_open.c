#include "http_static_open.h"
#include "support/descriptors.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Each way of looking up is asked the same. */
static char folder[64];
static struct cw_beneath *beneath;
static struct cw_beneath *with_links;

static const char *at(const char *name)
{
    static char path[4][PATH_MAX];
    static unsigned next;
    char *to = path[next++ % 4];

    snprintf(to, PATH_MAX, "%s/%s", folder, name);
    return to;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(at(name), "w");

    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

static void link_to(const char *target, const char *name)
{
    cr_assert_eq(symlink(target, at(name)), 0);
}

static void make_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", at(name));
    cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static void lay_out(void)
{
    int error;

    snprintf(folder, sizeof folder, "/tmp/cw_beneath_XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(mkdir(at("root"), 0755), 0);
    cr_assert_eq(mkdir(at("root/sub"), 0755), 0);
    cr_assert_eq(mkdir(at("outside"), 0755), 0);
    put("secret", "secret");
    put("outside/secret", "secret");
    put("root/a.txt", "inside");
    put("root/sub/b.txt", "inside");
    put("root/with space & \"quotes\" %41 \xc3\xa4", "inside");
    link_to("a.txt", "root/link");
    link_to("../a.txt", "root/sub/up");
    link_to("sub", "root/folder");
    link_to("../secret", "root/out");
    link_to("../outside", "root/out_folder");
    link_to("/etc/passwd", "root/absolute");
    link_to("loop", "root/loop");
    link_to("nowhere", "root/dangling");
    link_to("/proc/self/root/etc/passwd", "root/magic");
    cr_assert_eq(mkfifo(at("root/fifo"), 0644), 0);
    make_socket("root/socket");
    beneath = cw_beneath_new(at("root"), false, &error);
    cr_assert_not_null(beneath);
    with_links = cw_beneath_new(at("root"), true, &error);
    cr_assert_not_null(with_links);
}

static void clear_up(void)
{
    char command[128];

    cw_beneath_free(beneath);
    cw_beneath_free(with_links);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
    rig_expect_no_leak();
}

TestSuite(http_static_open, .init = lay_out, .fini = clear_up, .timeout = 30);

static void expect_file(struct cw_beneath *from, const char *path)
{
    char text[16] = "";
    struct stat status;
    int fd = cw_beneath_open(from, path, &status);

    cr_expect_geq(fd, 0, "%s: %s", path, cw_error_name(fd));
    if (fd >= 0) {
        cr_expect(S_ISREG(status.st_mode));
        cr_expect_eq(read(fd, text, sizeof text - 1), 6);
        cr_expect_str_eq(text, "inside", "%s", path);
        close(fd);
    }
}

static void expect_folder(struct cw_beneath *from, const char *path)
{
    struct stat status;
    int fd = cw_beneath_open(from, path, &status);

    cr_expect_geq(fd, 0, "%s: %s", path, cw_error_name(fd));
    if (fd >= 0) {
        cr_expect(S_ISDIR(status.st_mode));
        close(fd);
    }
}

static void expect_nothing(struct cw_beneath *from, const char *path)
{
    struct stat status;
    int fd = cw_beneath_open(from, path, &status);

    cr_expect_eq(fd, CW_ENOTFOUND, "%s: %d", path, fd);
    if (fd >= 0) {
        close(fd);
    }
}

static void expect_both_ways(void (*expect)(struct cw_beneath *, const char *), const char *path)
{
    int error;
    struct cw_beneath *walking = cw_beneath_new(at("root"), false, &error);

    cr_assert_not_null(walking);
    cw_beneath_walk(walking);
    expect(beneath, path);
    expect(walking, path);
    cw_beneath_free(walking);
}

Test(http_static_open, files_and_folders_are_opened)
{
    expect_both_ways(expect_file, "a.txt");
    expect_both_ways(expect_file, "sub/b.txt");
    expect_both_ways(expect_file, "with space & \"quotes\" %41 \xc3\xa4");
    expect_both_ways(expect_folder, "");
    expect_both_ways(expect_folder, "sub");
    expect_both_ways(expect_folder, "sub/");
}

Test(http_static_open, what_is_not_there_is_not_found)
{
    expect_both_ways(expect_nothing, "b.txt");
    expect_both_ways(expect_nothing, "none/b.txt");
    expect_both_ways(expect_nothing, "a.txt/");
    expect_both_ways(expect_nothing, "a.txt/b");
}

Test(http_static_open, paths_that_are_not_straight_are_not_found)
{
    static const char *const paths[] = {
        "..",     "../secret",  "/a.txt", "sub/../a.txt", ".",  "./a.txt",         "sub/.",
        "sub/..", "sub//b.txt", "/",      "/etc/passwd",  "//", "sub/../../secret"};

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        expect_both_ways(expect_nothing, paths[i]);
        expect_nothing(with_links, paths[i]);
    }
}

Test(http_static_open, links_are_not_followed_unless_that_was_asked_for)
{
    static const char *const paths[] = {
        "link",     "sub/up", "folder/b.txt", "folder/", "folder", "out", "out_folder/secret",
        "absolute", "loop",   "dangling",     "magic"};

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        expect_both_ways(expect_nothing, paths[i]);
    }
}

Test(http_static_open, links_that_stay_beneath_are_followed_on_request)
{
    if (cw_beneath_walks(with_links)) {
        cr_skip_test("no openat2 here");
    }
    expect_file(with_links, "link");
    expect_file(with_links, "sub/up");
    expect_file(with_links, "folder/b.txt");
    expect_folder(with_links, "folder");
    expect_nothing(with_links, "out");
    expect_nothing(with_links, "out_folder/secret");
    expect_nothing(with_links, "absolute");
    expect_nothing(with_links, "loop");
    expect_nothing(with_links, "dangling");
    expect_nothing(with_links, "magic");
}

Test(http_static_open, step_by_step_no_link_is_followed_at_all)
{
    cw_beneath_walk(with_links);
    expect_nothing(with_links, "link");
    expect_nothing(with_links, "folder/b.txt");
    expect_nothing(with_links, "out");
    expect_file(with_links, "sub/b.txt");
}

Test(http_static_open, what_is_neither_file_nor_folder_is_not_found_and_nobody_waits)
{
    expect_both_ways(expect_nothing, "fifo");
    expect_both_ways(expect_nothing, "socket");
}

Test(http_static_open, names_longer_than_names_can_be_are_not_found)
{
    static char longest[PATH_MAX + 100];

    memset(longest, 'a', NAME_MAX + 1);
    expect_both_ways(expect_nothing, longest);
    for (size_t i = 0; i < PATH_MAX + 90; i++) {
        longest[i] = i % 2 ? '/' : 'a';
    }
    expect_both_ways(expect_nothing, longest);
}

Test(http_static_open, a_file_that_may_not_be_read_says_so)
{
    struct stat status;

    if (geteuid() == 0) {
        cr_assert_eq(seteuid(65534), 0);
    }
    cr_assert_eq(cw_beneath_open(beneath, "a.txt", &status) >= 0, true);
    cr_assert_eq(seteuid(getuid()), 0);
    cr_assert_eq(chmod(at("root/a.txt"), 0), 0);
    if (geteuid() == 0) {
        cr_assert_eq(seteuid(65534), 0);
    }
    cr_expect_eq(cw_beneath_open(beneath, "a.txt", &status), CW_EACCESS);
    cw_beneath_walk(beneath);
    cr_expect_eq(cw_beneath_open(beneath, "a.txt", &status), CW_EACCESS);
    cr_assert_eq(seteuid(getuid()), 0);
}

Test(http_static_open, a_directory_that_is_not_there_is_named_by_code)
{
    int error;

    cr_expect_null(cw_beneath_new(at("none"), false, &error));
    cr_expect_eq(error, CW_ENOPATH);
    cr_expect_null(cw_beneath_new(at("root/a.txt"), false, &error));
    cr_expect_eq(error, CW_ENOPATH);
}

Test(http_static_open, no_descriptor_is_left_behind)
{
    static const char *const paths[] = {"a.txt", "sub/b.txt", "sub/none", "none/a",
                                        "fifo",  "out",       "sub",      "../secret"};
    int before = rig_descriptors();

    for (int i = 0; i < 2; i++) {
        for (size_t each = 0; each < sizeof paths / sizeof paths[0]; each++) {
            struct stat status;
            int fd = cw_beneath_open(beneath, paths[each], &status);

            if (fd >= 0) {
                close(fd);
            }
        }
        cw_beneath_walk(beneath);
    }

    cr_expect_eq(rig_descriptors(), before);
}
