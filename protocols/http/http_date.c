/* Times in fields (RFC 9110 §5.6.7). */
#include <causeway/http_fields.h>

#include <causeway/error.h>

static const int64_t day_s = 86400;

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const long_days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};

enum { MONTHS = 12, DAYS = 7 };

struct date {
    int year;
    int month; /* from 0 */
    int day;   /* from 1 */
    int hour;
    int minute;
    int second;
};

/* ---- the calendar ---- */

/* Days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the leap day comes last; year 1
 * and later, so that no division is of a negative number. */
static int64_t days_of(int year, int month, int day)
{
    int64_t march_year = month < 2 ? year - 1 : year;
    int64_t march_month = (month + 10) % MONTHS;
    int64_t leap_days = march_year / 4 - march_year / 100 + march_year / 400;

    /* Months from March on have 31 30 31 30 31 days, twice, then 31: 153 days in five of them. */
    return march_year * 365 + leap_days + (153 * march_month + 2) / 5 + day - 1 - 719468;
}

static int64_t seconds_of(const struct date *date)
{
    return days_of(date->year, date->month, date->day) * day_s + date->hour * 3600 +
           date->minute * 60 + date->second;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in(int year, int month)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return month == 1 && is_leap(year) ? 29 : lengths[month];
}

/* ---- printing ---- */

static void print_number(char *to, int digits, int number)
{
    for (int i = digits - 1; i >= 0; i--) {
        to[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

static struct date date_of(int64_t unix_days)
{
    struct date date = {.month = 0};
    int64_t shifted = unix_days + 719468;
    int64_t era = shifted / 146097; /* of 400 years */
    int64_t in_era = shifted % 146097;
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    int64_t march_month = (5 * in_year + 2) / 153;

    date.month = (int)((march_month + 2) % MONTHS);
    date.day = (int)(in_year - (153 * march_month + 2) / 5 + 1);
    date.year = (int)(era * 400 + year + (date.month < 2 ? 1 : 0));
    return date;
}

void cw_http_print_date(int64_t unix_s, char buffer[CW_HTTP_DATE_SIZE])
{
    const int64_t first = -62135596800; /* year 1 */
    const int64_t last = 253402300799;  /* the end of year 9999 */
    int64_t bounded = unix_s < first ? first : unix_s > last ? last : unix_s;
    int64_t from_first = bounded - first; /* never negative */
    int second = (int)(from_first % day_s);
    struct date date = date_of(from_first / day_s + first / day_s);

    memcpy(buffer, "Sun, 06 Nov 1994 08:49:37 GMT", CW_HTTP_DATE_SIZE);
    memcpy(buffer, days[(from_first / day_s + 1) % DAYS], 3); /* the year 1 begins with a Monday */
    print_number(buffer + 5, 2, date.day);
    memcpy(buffer + 8, months[date.month], 3);
    print_number(buffer + 12, 4, date.year);
    print_number(buffer + 17, 2, second / 3600);
    print_number(buffer + 20, 2, second / 60 % 60);
    print_number(buffer + 23, 2, second % 60);
}

/* ---- reading: each takes something off the front, or says false ---- */

static bool take_text(struct cw_span *rest, const char *text)
{
    size_t len = strlen(text);

    if (rest->len < len || memcmp(rest->data, text, len) != 0) {
        return false;
    }
    rest->data += len;
    rest->len -= len;
    return true;
}

static bool take_name(struct cw_span *rest, const char *const *names, int count, int *index)
{
    for (int i = 0; i < count; i++) {
        if (take_text(rest, names[i])) {
            *index = i;
            return true;
        }
    }
    return false;
}

static bool take_number(struct cw_span *rest, size_t digits, int *number)
{
    *number = 0;
    if (rest->len < digits) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        if (rest->data[i] < '0' || rest->data[i] > '9') {
            return false;
        }
        *number = *number * 10 + (rest->data[i] - '0');
    }
    rest->data += digits;
    rest->len -= digits;
    return true;
}

static bool take_time(struct cw_span *rest, struct date *date)
{
    return take_number(rest, 2, &date->hour) && take_text(rest, ":") &&
           take_number(rest, 2, &date->minute) && take_text(rest, ":") &&
           take_number(rest, 2, &date->second);
}

/* `Sun, 06 Nov 1994 08:49:37 GMT` */
static bool take_fixdate(struct cw_span rest, struct date *date)
{
    int weekday;

    return take_name(&rest, days, DAYS, &weekday) && take_text(&rest, ", ") &&
           take_number(&rest, 2, &date->day) && take_text(&rest, " ") &&
           take_name(&rest, months, MONTHS, &date->month) && take_text(&rest, " ") &&
           take_number(&rest, 4, &date->year) && take_text(&rest, " ") && take_time(&rest, date) &&
           take_text(&rest, " GMT") && rest.len == 0;
}

/* `Sunday, 06-Nov-94 08:49:37 GMT`, of RFC 850 */
static bool take_rfc850(struct cw_span rest, struct date *date)
{
    int weekday;

    return take_name(&rest, long_days, DAYS, &weekday) && take_text(&rest, ", ") &&
           take_number(&rest, 2, &date->day) && take_text(&rest, "-") &&
           take_name(&rest, months, MONTHS, &date->month) && take_text(&rest, "-") &&
           take_number(&rest, 2, &date->year) && take_text(&rest, " ") && take_time(&rest, date) &&
           take_text(&rest, " GMT") && rest.len == 0;
}

/* `Sun Nov  6 08:49:37 1994`, of asctime() */
static bool take_asctime(struct cw_span rest, struct date *date)
{
    int weekday;

    return take_name(&rest, days, DAYS, &weekday) && take_text(&rest, " ") &&
           take_name(&rest, months, MONTHS, &date->month) && take_text(&rest, " ") &&
           (take_text(&rest, " ") ? take_number(&rest, 1, &date->day)
                                  : take_number(&rest, 2, &date->day)) &&
           take_text(&rest, " ") && take_time(&rest, date) && take_text(&rest, " ") &&
           take_number(&rest, 4, &date->year) && rest.len == 0;
}

/* A second 60 is a leap second (RFC 9110 §5.6.7); it counts as the first of the next minute. */
static bool is_possible(const struct date *date)
{
    return date->year >= 1 && date->day >= 1 && date->day <= days_in(date->year, date->month) &&
           date->hour <= 23 && date->minute <= 59 && date->second <= 60;
}

/* RFC 9110 §5.6.7: a year that seems to be more than 50 years ahead is the last one that ended in these two digits. */
static void place_in_century(struct date *date, int64_t now_s)
{
    char now[CW_HTTP_DATE_SIZE];
    struct cw_span year = {(const uint8_t *)now + 12, 4};
    int this_year;

    cw_http_print_date(now_s, now);
    (void)take_number(&year, 4, &this_year);
    date->year += this_year - this_year % 100;
    struct date earlier = *date;
    earlier.year -= 50;
    if (earlier.year >= 1 && seconds_of(&earlier) > now_s) {
        date->year -= 100;
    }
}

int cw_http_parse_date(struct cw_span span, int64_t now_s, int64_t *unix_s)
{
    struct date date = {.month = 0};

    if (take_rfc850(span, &date)) {
        place_in_century(&date, now_s);
    } else if (!take_fixdate(span, &date) && !take_asctime(span, &date)) {
        return CW_EINVAL;
    }
    if (!is_possible(&date)) {
        return CW_EINVAL;
    }
    *unix_s = seconds_of(&date);
    return CW_OK;
}
