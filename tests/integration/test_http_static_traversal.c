/* What hostile requests for files are answered with: nothing from outside, whatever is asked and whatever is renamed. */
#include "support/leak.h"
#include "support/static_site.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct static_site site;

static void lay(void)
{
    static_site_lay(&site);
    static_site_put_text(&site, "a.txt", "inside");
    static_site_mkdir(&site, "sub");
    static_site_put_text(&site, "sub/b.txt", "inside b");
    static_site_put_text(&site, ".hidden", "hidden");
    static_site_mkdir(&site, ".git");
    static_site_put_text(&site, ".git/config", "hidden");
    static_site_link(&site, "a.txt", "link");
    static_site_link(&site, "sub", "folder");
    static_site_link(&site, "../a.txt", "sub/up");
    static_site_link(&site, "../secret", "out");
    static_site_link(&site, "../outside", "out_folder");
    static_site_link(&site, static_site_at(&site, "secret"), "absolute");
    static_site_link(&site, "/", "slash");
    static_site_link(&site, "/proc/self/cwd", "magic");
    static_site_link(&site, "loop", "loop");
}

static void clear(void)
{
    static_site_end(&site);
    rig_expect_no_leak();
}

TestSuite(http_static_traversal, .init = lay, .fini = clear, .timeout = 120);

/* ---- paths ---- */

static const char *const climbing[] = {
    "/files/../secret",
    "/files/../../secret",
    "/files/..%2fsecret",
    "/files/..%2Fsecret",
    "/files/%2e%2e/secret",
    "/files/%2e%2e%2fsecret",
    "/files/%2E%2E%2Fsecret",
    "/files/.%2e/secret",
    "/files/%2e./secret",
    "/files/%252e%252e%252fsecret",
    "/files/%252e%252e/secret",
    "/files/%25252e%25252e/secret",
    "/files/..\\secret",
    "/files/..%5csecret",
    "/files/%2e%2e%5csecret",
    "/files/..%255csecret",
    "/files/....//secret",
    "/files/.../secret",
    "/files/..;/secret",
    "/files/..%00/secret",
    "/files/%00/../secret",
    "/files/..%0d%0a/secret",
    "/files/%c0%ae%c0%ae/secret",
    "/files/%c0%ae%c0%ae%c0%afsecret",
    "/files/%e0%80%ae%e0%80%ae/secret",
    "/files/%u002e%u002e/secret",
    "/files/sub/../../secret",
    "/files/sub/../../../secret",
    "/files/sub/%2e%2e/%2e%2e/secret",
    "/files/sub/..%2f..%2fsecret",
    "/files//../secret",
    "/files/./../secret",
    "/files/././../outside/secret",
    "/files/../outside/secret",
    "/files/../root/../secret",
    "/files/..//secret",
    "/files/a.txt/../../secret",
    "/files/a.txt%00",
    "/files/a.txt%00.html",
    "/files/%00a.txt",
    "/files/?/../secret",
    "/files/../secret?a=b",
    "/files/../secret#a",
    "/files/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/files/../../../../../../../../etc/passwd",
    "/files//etc/passwd",
    "/files/%2fetc/passwd",
    "/files/%2Fetc%2Fpasswd",
    "/files///etc/passwd",
    "/files/%5c..%5csecret",
    "/files/~root/secret",
    "/files/file:///etc/passwd",
    "http://files.example/files/../secret",
    "http://files.example/files/%2e%2e/secret",
    "http://files.example/../secret",
    "//etc/passwd",
    "///etc/passwd",
    "/../secret",
    "../secret",
    "secret",
    "/files/out",
    "/files/out/",
    "/files/out_folder",
    "/files/out_folder/",
    "/files/out_folder/secret",
    "/files/absolute",
    "/files/slash/etc/passwd",
    "/files/slash",
    "/files/magic",
    "/files/magic/secret",
    "/files/loop",
    "/files/loop/secret",
    "/files/sub/up/../../secret",
    "/files/link/../secret",
};

enum { CLIMBING = sizeof climbing / sizeof climbing[0] };

/* None of them names a file of the folder that may be seen. */
static void expect_nothing_from_outside(void)
{
    static struct http_reply reply;

    for (size_t i = 0; i < CLIMBING; i++) {
        char line[256];

        snprintf(line, sizeof line, "GET %s", climbing[i]);
        static_site_ask(&site, line, "Connection: close\r\n", &reply);
        cr_expect(reply.status == 400 || reply.status == 404 || reply.status == 301, "%s: %d",
                  climbing[i], reply.status);
        cr_expect_null(strstr((const char *)reply.body, STATIC_SECRET), "%s", climbing[i]);
        cr_expect_null(strstr((const char *)reply.body, "root:"), "%s", climbing[i]);
        http_reply_release(&reply);
    }
    static_site_expect(&site, "GET /files/a.txt", "", 200, "inside");
}

Test(http_static_traversal, no_path_leads_outside)
{
    static_site_serve(&site, NULL);
    expect_nothing_from_outside();
}

Test(http_static_traversal, no_path_leads_outside_with_links_and_dotfiles_and_pages_of_names)
{
    static_site_serve(&site, &(struct cw_http_static_options){
                                 .symlinks = true, .dotfiles = true, .precompressed = true});
    expect_nothing_from_outside();
}

Test(http_static_traversal, no_path_leads_outside_where_the_kernel_has_no_openat2)
{
    static_site_forbid_openat2(ENOSYS);
    static_site_serve(&site, NULL);
    expect_nothing_from_outside();
}

Test(http_static_traversal, no_path_leads_outside_where_a_filter_forbids_openat2)
{
    static_site_forbid_openat2(EPERM);
    static_site_serve(&site, &(struct cw_http_static_options){.symlinks = true, .dotfiles = true});
    expect_nothing_from_outside();
}

Test(http_static_traversal, dots_that_stay_inside_are_resolved)
{
    static_site_serve(&site, NULL);
    static_site_expect(&site, "GET /files/sub/../a.txt", "", 200, "inside");
    static_site_expect(&site, "GET /files/./sub/%2e/b.txt", "", 200, "inside b");
    static_site_expect(&site, "GET /files//sub//b.txt", "", 200, "inside b");
    static_site_expect(&site, "GET http://files.example/files/a.txt", "", 200, "inside");
    static_site_expect(&site, "GET /%66iles/%61.txt", "", 200, "inside");
}

/* ---- links and dotfiles ---- */

Test(http_static_traversal, links_and_names_with_a_dot_are_not_found_by_default)
{
    static_site_serve(&site, NULL);
    static_site_expect(&site, "GET /files/link", "", 404, NULL);
    static_site_expect(&site, "GET /files/folder/b.txt", "", 404, NULL);
    static_site_expect(&site, "GET /files/sub/up", "", 404, NULL);
    static_site_expect(&site, "GET /files/.hidden", "", 404, NULL);
    static_site_expect(&site, "GET /files/%2ehidden", "", 404, NULL);
    static_site_expect(&site, "GET /files/.git/config", "", 404, NULL);
    static_site_expect(&site, "GET /files/.git", "", 404, NULL);
}

Test(http_static_traversal, links_beneath_and_names_with_a_dot_are_served_on_request)
{
    static_site_serve(&site, &(struct cw_http_static_options){.symlinks = true, .dotfiles = true});
    static_site_expect(&site, "GET /files/link", "", 200, "inside");
    static_site_expect(&site, "GET /files/folder/b.txt", "", 200, "inside b");
    static_site_expect(&site, "GET /files/sub/up", "", 200, "inside");
    static_site_expect(&site, "GET /files/.hidden", "", 200, "hidden");
    static_site_expect(&site, "GET /files/.git/config", "", 200, "hidden");
}

Test(http_static_traversal, without_openat2_files_are_served_and_links_are_not)
{
    static_site_forbid_openat2(EPERM);
    static_site_serve(&site, &(struct cw_http_static_options){.symlinks = true});
    static_site_expect(&site, "GET /files/sub/b.txt", "", 200, "inside b");
    static_site_expect(&site, "GET /files/link", "", 404, NULL);
    static_site_expect(&site, "GET /files/folder/b.txt", "", 404, NULL);
}

/* ---- what is no file ---- */

Test(http_static_traversal, what_is_neither_file_nor_folder_is_not_found_and_holds_nobody_up)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    cr_assert_eq(mkfifo(static_site_at(&site, "root/fifo"), 0644), 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", static_site_at(&site, "root/socket"));
    cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    static_site_serve(&site, NULL);
    static_site_expect(&site, "GET /files/fifo", "", 404, NULL);
    static_site_expect(&site, "GET /files/socket", "", 404, NULL);
    static_site_expect(&site, "GET /files/a.txt", "", 200, "inside");
    close(fd);
}

/* ---- names ---- */

Test(http_static_traversal, names_are_found_whatever_letters_they_have)
{
    static const char *const names[][2] = {
        {"with space.txt", "with%20space.txt"},
        {"\xc3\xa4\xe2\x82\xac.txt", "%C3%A4%E2%82%AC.txt"},
        {"100%.txt", "100%25.txt"},
        {"%2e%2e", "%252e%252e"},
        {"quote\"'.txt", "quote%22'.txt"},
        {"a+b.txt", "a+b.txt"},
        {"a?b#c.txt", "a%3Fb%23c.txt"},
        {"back\\slash", "back%5Cslash"},
        {"\xff\xfe", "%FF%FE"},
        {"line\nend", "line%0Aend"},
        {"..a", NULL}, /* begins with a dot */
        {"a..", "a.."},
        {"a:b", "a:b"},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        static_site_put_text(&site, names[i][0], names[i][0]);
    }
    static_site_serve(&site, NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char line[256];

        snprintf(line, sizeof line, "GET /files/%s", names[i][1] ? names[i][1] : names[i][0]);
        static_site_expect(&site, line, "", names[i][1] ? 200 : 404,
                           names[i][1] ? names[i][0] : NULL);
    }
}

Test(http_static_traversal, names_longer_than_any_are_not_found)
{
    static char line[8300] = "GET /files/";
    size_t begin = strlen(line);

    static_site_serve(&site, NULL);
    memset(line + begin, 'a', 256);
    static_site_expect(&site, line, "", 404, NULL);
    memset(line + begin, 'a', 8000);
    static_site_expect(&site, line, "", 404, NULL);
    for (size_t i = 1; i < 8000; i += 2) {
        line[begin + i] = '/';
    }
    static_site_expect(&site, line, "", 404, NULL);
}

/* ---- a folder that becomes a link while it is looked up ---- */

enum { ASKED_MOST = 200000, SEEN_ENOUGH = 200 };

static atomic_bool over;

/* Swaps a folder and a link that leads outside, in one step each. */
static void *swap(void *arg)
{
    char folder[256];
    char link[256];

    snprintf(folder, sizeof folder, "%s", static_site_at(&site, "root/swapped"));
    snprintf(link, sizeof link, "%s", static_site_at(&site, "root/to_outside"));
    while (!atomic_load(&over)) {
        rig_check(renameat2(AT_FDCWD, folder, AT_FDCWD, link, RENAME_EXCHANGE) == 0);
    }
    return NULL;
}

static void ask_while_swapping(void)
{
    static const char request[] = "GET /files/swapped/deep/secret HTTP/1.1\r\nHost: a\r\n\r\n";
    static struct http_reply reply;
    struct http_peer peer = http_peer_new(site.port);
    size_t found = 0;
    size_t missing = 0;

    for (int i = 0; i < ASKED_MOST && (found < SEEN_ENOUGH || missing < SEEN_ENOUGH); i++) {
        http_peer_ask(&peer, request, &reply);
        if (reply.status == 200) {
            cr_assert_str_eq((const char *)reply.body, "inside");
            found++;
        } else {
            cr_assert_eq(reply.status, 404, "%d", reply.status);
            missing++;
        }
        http_reply_release(&reply);
    }
    http_peer_close(&peer);
    cr_expect_geq(found, SEEN_ENOUGH);
    cr_expect_geq(missing, SEEN_ENOUGH);
}

static void expect_nothing_while_swapping(const struct cw_http_static_options *options)
{
    pthread_t thread;

    static_site_mkdir(&site, "swapped");
    static_site_mkdir(&site, "swapped/deep");
    static_site_put_text(&site, "swapped/deep/secret", "inside");
    rig_check(mkdir(static_site_at(&site, "outside/deep"), 0755) == 0);
    rig_check(link(static_site_at(&site, "secret"), static_site_at(&site, "outside/deep/secret")) ==
              0);
    static_site_link(&site, "../outside", "to_outside");
    static_site_serve(&site, options);
    rig_check(pthread_create(&thread, NULL, swap, NULL) == 0);
    ask_while_swapping();
    atomic_store(&over, true);
    rig_check(pthread_join(thread, NULL) == 0);
}

Test(http_static_traversal, a_folder_swapped_for_a_link_shows_nothing_from_outside)
{
    expect_nothing_while_swapping(NULL);
}

Test(http_static_traversal, a_folder_swapped_for_a_link_shows_nothing_where_links_are_followed)
{
    expect_nothing_while_swapping(&(struct cw_http_static_options){.symlinks = true});
}

Test(http_static_traversal, a_folder_swapped_for_a_link_shows_nothing_without_openat2)
{
    static_site_forbid_openat2(ENOSYS);
    expect_nothing_while_swapping(&(struct cw_http_static_options){.symlinks = true});
}
