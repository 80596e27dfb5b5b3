#include "http_static_names.h"
#include "support/fault.h"
#include "support/leak.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(http_static_names, .fini = rig_expect_no_leak, .timeout = 30);

static bool may_ask(const char *path)
{
    return cw_static_may_ask(cw_span_text(path), false);
}

Test(http_static_names, names_that_begin_with_a_dot_are_asked_for_only_if_they_are_allowed)
{
    static const char *const hidden[] = {".env", ".git/config", "a/.b", "a/b/.c/d",
                                         "..",   ".",           "a/./b"};

    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        cr_expect_not(may_ask(hidden[i]), "%s", hidden[i]);
        cr_expect(cw_static_may_ask(cw_span_text(hidden[i]), true), "%s", hidden[i]);
    }
    cr_expect(may_ask(""));
    cr_expect(may_ask("a.b/c..d/e."));
}

Test(http_static_names, a_zero_byte_is_never_part_of_a_name)
{
    cr_expect_not(cw_static_may_ask(cw_span_of("a.txt\0.png", 10), true));
    cr_expect_not(cw_static_may_ask(cw_span_of("\0", 1), false));
}

Test(http_static_names, the_base_is_what_stands_behind_the_last_slash)
{
    cr_expect_str_eq(cw_static_base("a/b/c.txt"), "c.txt");
    cr_expect_str_eq(cw_static_base("c.txt"), "c.txt");
    cr_expect_str_eq(cw_static_base("a/"), "");
}

/* ---- validators ---- */

static const struct cw_static_version file = {
    .size = 0x1234, .inode = 0xab, .modified_s = 1000, .modified_ns = 500000000, .suffix = ""};

static const char *etag_at(const struct cw_static_version *version, int64_t now_s, int64_t now_ns)
{
    static char etags[4][CW_STATIC_ETAG_SIZE];
    static unsigned next;
    char *etag = etags[next++ % 4];

    cw_static_print_etag(version, now_s, now_ns, etag);
    return etag;
}

Test(http_static_names, the_tag_tells_size_time_and_inode)
{
    cr_expect_str_eq(etag_at(&file, 2000, 0), "\"1234-3e8.1dcd6500-ab\"");
}

Test(http_static_names, anything_that_changes_changes_the_tag)
{
    struct cw_static_version others[] = {file, file, file, file, file};

    others[0].size++;
    others[1].inode++;
    others[2].modified_s++;
    others[3].modified_ns++;
    others[4].suffix = ".gz";
    for (size_t i = 0; i < 5; i++) {
        cr_expect_str_neq(etag_at(&others[i], 2000, 0), etag_at(&file, 2000, 0), "%zu", i);
    }
}

Test(http_static_names, the_tag_is_weak_while_a_change_could_leave_no_trace_and_another_one_then)
{
    const char *young = etag_at(&file, 1000, 519999999);
    const char *settled = etag_at(&file, 1000, 520000000);

    cr_expect_eq(strncmp(young, "W/\"", 3), 0, "%s", young);
    cr_expect_eq(settled[0], '"', "%s", settled);
    cr_expect_neq(strncmp(young + 2, settled, strlen(settled)), 0);
}

Test(http_static_names, a_file_system_that_counts_in_seconds_has_two_of_them)
{
    struct cw_static_version coarse = file;

    coarse.modified_ns = 0;
    cr_expect_eq(etag_at(&coarse, 1001, 999999999)[0], 'W');
    cr_expect_eq(etag_at(&coarse, 1002, 0)[0], '"');
}

Test(http_static_names, a_clock_that_is_far_off_makes_no_tag_weak_for_ever)
{
    cr_expect_eq(etag_at(&file, 999, 0)[0], 'W');
    cr_expect_eq(etag_at(&file, 0, 0)[0], '"');
    cr_expect_eq(etag_at(&file, INT32_MAX, 0)[0], '"');
}

Test(http_static_names, the_time_is_strong_from_the_next_second_on)
{
    cr_expect_not(cw_static_time_is_strong(&file, 1000));
    cr_expect_not(cw_static_time_is_strong(&file, 999));
    cr_expect(cw_static_time_is_strong(&file, 1001));
}

/* ---- texts ---- */

static void expect_text(struct cw_static_text *text, const char *expected)
{
    cw_static_put(text, "", 1);
    cr_assert_not(text->failed);
    cr_expect_str_eq(text->data, expected);
    cw_static_text_release(text);
}

Test(http_static_names, html_cannot_be_left_by_a_name)
{
    struct cw_static_text text = {0};

    cw_static_put_html(&text, "a<script>\"&'b'</script>");
    expect_text(&text, "a&lt;script&gt;&quot;&amp;&#39;b&#39;&lt;/script&gt;");
}

Test(http_static_names, a_path_is_encoded_but_for_its_slashes)
{
    struct cw_static_text text = {0};

    cw_static_put_path(&text, "/a b/\\c?d#e%f\"\r\n\xc3\xa4~-._9/");
    expect_text(&text, "/a%20b/%5Cc%3Fd%23e%25f%22%0D%0A%C3%A4~-._9/");
}

Test(http_static_names, a_text_grows_as_it_must)
{
    struct cw_static_text text = {0};

    for (int i = 0; i < 5000; i++) {
        cw_static_put_text(&text, "ab");
    }
    cr_assert_eq(text.len, 10000);
    for (size_t i = 0; i < text.len; i++) {
        cr_assert_eq(text.data[i], i % 2 ? 'b' : 'a');
    }
    cw_static_text_release(&text);
    cr_expect_null(text.data);
}

Test(http_static_names, without_memory_a_text_says_so_and_keeps_what_it_had)
{
    struct cw_static_text text = {0};

    fault_install();
    cw_static_put_text(&text, "first");
    fault_arm(1);
    for (int i = 0; i < 300; i++) {
        cw_static_put_text(&text, "12345");
    }
    cr_expect(fault_disarm());
    cr_expect(text.failed);
    cr_expect_eq(strncmp(text.data, "first", 5), 0);
    cw_static_text_release(&text);
    fault_remove();
}
