// Bodies of requests, JSON, to numbers and ids in one pass. It takes the usual spelling and gives up on all else: no error
// is found here, as the reader of recsys_bnn/serving/requests.py then reads the body again and says what is wrong.
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { FREE = -1, UNKNOWN = 0, MISSING = 1, FIRST_VALUE = 2 };
enum { TILE = 64, LONGEST_NUMBER = 40, EXACT_DIGITS = 15 };
enum kind { WHOLE, DECIMAL, HEX, INTEGER, TEXT };
enum place { ABSENT, CONTEXT, CANDIDATES };

// A slot of an open-addressing table, as recsys_bnn.data.id_table describes it; of texts the key is half of a hash.
typedef struct {
    uint32_t key;
    int32_t id;
} Slot;

typedef struct {
    const uint8_t *name;
    int64_t length;
    int32_t kind, column;    // among the numbers, or among the categories
    const Slot *slots;       // of keys or texts; NULL where keys are hashed
    int64_t size;            // of the slots, a power of 2; or the number of buckets
    const uint8_t *letters;  // of all texts of the field
    const int64_t *ends;     // [texts + 1] where they stand
} Feature;

typedef struct {
    const Feature *features;
    const Slot *names;       // of the features
    const Feature *missing;  // texts that are missing values, as names
    int64_t count, name_slots, missing_count, numbers, categories;
    int32_t whole_decimals, unused;
} Reader;

typedef struct {
    double *context_numbers;  // [numbers]
    int32_t *context_ids;     // [categories]
    double *numbers;          // [numbers][room]
    int32_t *ids;             // [room][categories]
    int64_t *keys;            // [max(room, TILE * categories)]
    int64_t *unknown;         // [categories], 0 before
    uint8_t *places;          // [count], ABSENT before
    int64_t *seen;            // [count], 0 before: the last row that has a feature, from 1
    int32_t *order;           // [count]: features as they come in a row
    int64_t room, top;        // rows that the arrays take; 0 is no `top`
} Found;

typedef struct {
    const Reader *reader;
    const Found *found;
    const uint8_t *at, *end;  // there stands a byte 0, which nothing here takes
} Cursor;

// ---------------------------------------------------------------------------------------------------------- tokens

static inline void blanks(Cursor *c) {
    while (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t') c->at++;
}

static inline bool take(Cursor *c, char byte) {
    blanks(c);
    if (*c->at != (uint8_t)byte) return false;
    c->at++;
    return true;
}

static inline bool nothing(Cursor *c) {
    if (*c->at != 'n' || strncmp((const char *)c->at, "null", 4)) return false;
    c->at += 4;
    return true;
}

// A text of ASCII without a backslash, between quotes.
static inline bool quoted(Cursor *c, const uint8_t **text, int64_t *length) {
    if (*c->at != '"') return false;
    const uint8_t *first = ++c->at;
    while (*c->at != '"') {
        if (*c->at < 32 || *c->at > 127 || *c->at == '\\') return false;
        c->at++;
    }
    *text = first;
    *length = c->at++ - first;
    return true;
}

static inline bool digit(uint8_t byte) { return (uint8_t)(byte - '0') <= 9; }

// A whole number of at most 15 digits, behind which its JSON ends; -0 is left to others.
static inline bool whole(Cursor *c, int64_t *number) {
    const uint8_t *at = c->at;
    bool negative = *at == '-';
    const uint8_t *first = at += negative;
    int64_t value = 0;
    while (digit(*at) && at - first <= EXACT_DIGITS) value = value * 10 + (*at++ - '0');
    if (at == first || at - first > EXACT_DIGITS || (*first == '0' && (at - first > 1 || negative))) return false;
    if (*at == '.' || *at == 'e' || *at == 'E') return false;
    *number = negative ? -value : value;
    c->at = at;
    return true;
}

static const uint8_t *digits(const uint8_t *at) {
    while (digit(*at)) at++;
    return at;
}

static bool decimal(Cursor *c, double *number) {
    int64_t exact;
    if (whole(c, &exact)) {
        *number = (double)exact;
        return true;
    }
    const uint8_t *first = c->at + (*c->at == '-'), *at = digits(first);
    if (at == first || (*first == '0' && at - first > 1)) return false;
    bool plain = true;
    if (*at == '.') {
        const uint8_t *fraction = at + 1;
        at = digits(fraction);
        if (at == fraction) return false;
        plain = false;
    }
    if (*at == 'e' || *at == 'E') {
        at += 1 + (at[1] == '-' || at[1] == '+');
        const uint8_t *power = at;
        at = digits(power);
        if (at == power || at - power > 2) return false;
        plain = false;
    }
    if (plain || at - c->at > LONGEST_NUMBER) return false;
    char *end;
    *number = strtod((const char *)c->at, &end);
    if ((const uint8_t *)end != at || !isfinite(*number)) return false;
    c->at = at;
    return true;
}

// Eight hexadecimal digits at once. A letter has bit 6, and its value is its lower half plus 9. What is no digit does not
// spell itself again from its value, or has one that only letters, or no letters, have.
static inline bool eight_digits(const uint8_t *at, int64_t *key) {
    const uint64_t ones = 0x0101010101010101u;
    uint64_t text;
    memcpy(&text, at, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    text = __builtin_bswap64(text);
#endif
    uint64_t letter = text >> 6 & ones, value = (text & 15 * ones) + 9 * letter, small = text | letter << 5;
    uint64_t spelled = '0' * ones + value + ('a' - 10 - '0') * letter;
    uint64_t bad = (spelled ^ small) | (((value + 6 * ones) >> 4 & ones) ^ letter) | (value >> 4 & ones);
    value = (value << 4 | value >> 8) & 0x00FF00FF00FF00FFu;
    value = (value << 8 | value >> 16) & 0x0000FFFF0000FFFFu;
    *key = (uint32_t)(value << 16 | value >> 32);
    return !bad;
}

static inline bool hexadecimal(Cursor *c, int64_t *key) {
    if (*c->at != '"') return false;
    const uint8_t *first = c->at + 1;
    if (*first == '"') {  // an empty text is a missing value
        *key = FREE;
        c->at = first + 1;
        return true;
    }
    if (c->end - first < 9 || first[8] != '"') return false;
    c->at = first + 9;
    return eight_digits(first, key);
}

// A whole number of 32 bits, or a text of one, as its two's complement.
static bool integer(Cursor *c, int64_t *key) {
    int64_t number;
    if (*c->at != '"') {
        if (!whole(c, &number) || number < INT32_MIN || number > INT32_MAX) return false;
        *key = (uint32_t)number;
        return true;
    }
    const uint8_t *first = c->at + 1, *start = first + (*first == '-'), *at = digits(start);
    if (*at != '"' || at - start > 9 || (at == start && start > first)) return false;
    number = 0;
    for (const uint8_t *d = start; d < at; d++) number = number * 10 + (*d - '0');
    *key = at == start ? FREE : (int64_t)(uint32_t)(start > first ? -number : number);
    c->at = at + 1;
    return true;
}

// -------------------------------------------------------------------------------------------------------------- ids

static inline uint64_t text_hash(const uint8_t *text, int64_t length) {
    uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a (Fowler, Noll and Vo), mixed at the end
    for (int64_t i = 0; i < length; i++) hash = (hash ^ text[i]) * 0x100000001B3u;
    return (hash ^ hash >> 29) * 0x9E3779B97F4A7C15u;
}

static inline bool same(const uint8_t *a, int64_t a_length, const uint8_t *b, int64_t b_length) {
    return a_length == b_length && !memcmp(a, b, (size_t)a_length);
}

static int64_t find_text(const Feature *f, const uint8_t *text, int64_t length) {
    uint64_t hash = text_hash(text, length), last = (uint64_t)f->size - 1;
    for (uint64_t at = hash & last; f->slots[at].id != FREE; at = (at + 1) & last) {
        if (f->slots[at].key != (uint32_t)(hash >> 32)) continue;
        const int64_t *bounds = f->ends + f->slots[at].id - FIRST_VALUE;
        if (same(f->letters + bounds[0], bounds[1] - bounds[0], text, length)) return f->slots[at].id;
    }
    return UNKNOWN;
}

static void put_text(Slot *slots, uint64_t last, const uint8_t *text, int64_t length, int32_t id) {
    uint64_t hash = text_hash(text, length), at = hash & last;
    while (slots[at].id != FREE) at = (at + 1) & last;
    slots[at] = (Slot){(uint32_t)(hash >> 32), id};
}

// Texts into slots that are all free; the first one has the id `first`.
EXPORT void sb_texts(const uint8_t *letters, const int64_t *ends, int64_t count, int32_t first, Slot *slots, int64_t size) {
    for (int64_t i = 0; i < count; i++)
        put_text(slots, (uint64_t)size - 1, letters + ends[i], ends[i + 1] - ends[i], first + (int32_t)i);
}

static bool is_whole_decimal(const uint8_t *text, int64_t length) {
    const uint8_t *first = text + (*text == '-'), *end = text + length - 2;
    return end > first && digits(first) == end && *end == '.' && end[1] == '0';
}

static bool text_id(Cursor *c, const Feature *f, int64_t *id) {
    const uint8_t *text = c->at;
    int64_t length, number;
    if (*text != '"') {
        if (!whole(c, &number)) return false;  // which is spelled as it stands there
        length = c->at - text;
    } else if (!quoted(c, &text, &length)) return false;
    *id = MISSING;
    if (!length) return true;
    const Reader *r = c->reader;
    for (int64_t i = 0; i < r->missing_count; i++)
        if (same(r->missing[i].name, r->missing[i].length, text, length)) return true;
    if (r->whole_decimals && is_whole_decimal(text, length)) length -= 2;
    *id = find_text(f, text, length);
    return true;
}

static inline uint64_t splitmix64(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static inline uint64_t home(const Feature *f, int64_t key) {
    return ((uint64_t)key * 0x9E3779B97F4A7C15u) >> 32 & ((uint64_t)f->size - 1);
}

static inline int32_t find_key(const Feature *f, int64_t key, uint64_t at) {
    while (f->slots[at].id != FREE && f->slots[at].key != (uint32_t)key) at = (at + 1) & ((uint64_t)f->size - 1);
    return f->slots[at].id == FREE ? UNKNOWN : f->slots[at].id;
}

// Ids of some keys, at most TILE, in which FREE is a missing one; of texts they are ids already.
static void put_ids(const Feature *f, const int64_t *keys, int64_t key_step, int64_t rows, int32_t *ids, int64_t step) {
    if (f->kind == TEXT) {
        for (int64_t r = 0; r < rows; r++) ids[r * step] = (int32_t)keys[r * key_step];
    } else if (!f->slots) {
        for (int64_t r = 0; r < rows; r++) {
            int64_t key = keys[r * key_step];
            ids[r * step] = key == FREE ? MISSING : FIRST_VALUE + (int32_t)(splitmix64((uint64_t)key) % (uint64_t)f->size);
        }
    } else {
        for (int64_t r = 0; r < rows; r++) __builtin_prefetch(f->slots + home(f, keys[r * key_step]));
        for (int64_t r = 0; r < rows; r++) {
            int64_t key = keys[r * key_step];
            ids[r * step] = key == FREE ? MISSING : find_key(f, key, home(f, key));
        }
    }
}

// ----------------------------------------------------------------------------------------------------------- values

static inline bool number_value(Cursor *c, const Feature *f, double *number) {
    int64_t exact;
    if (nothing(c)) *number = NAN;
    else if (f->kind == DECIMAL) return decimal(c, number);
    else if (whole(c, &exact)) *number = (double)exact;
    else return false;
    return true;
}

static inline bool key_value(Cursor *c, const Feature *f, int64_t *key) {
    if (*c->at == 'n') {
        *key = f->kind == TEXT ? MISSING : FREE;
        return nothing(c);
    }
    switch (f->kind) {
        case HEX: return hexadecimal(c, key);
        case INTEGER: return integer(c, key);
        default: return text_id(c, f, key);
    }
}

static inline bool is_number(const Feature *f) { return f->kind <= DECIMAL; }

// The feature whose name stands before a colon, or NULL. It is most often `guess`.
static const Feature *named(Cursor *c, int64_t guess) {
    const uint8_t *name;
    int64_t length;
    blanks(c);
    if (!quoted(c, &name, &length) || !take(c, ':')) return NULL;
    blanks(c);
    const Reader *r = c->reader;
    const Feature *found = guess < 0 ? NULL : r->features + guess;
    if (found && same(found->name, found->length, name, length)) return found;
    uint64_t hash = text_hash(name, length), last = (uint64_t)r->name_slots - 1;
    for (uint64_t at = hash & last; r->names[at].id != FREE; at = (at + 1) & last) {
        found = r->features + r->names[at].id;
        if (same(found->name, found->length, name, length)) return found;
    }
    return NULL;
}

static bool put(const Cursor *c, const Feature *f, enum place place) {
    uint8_t *at = c->found->places + (f - c->reader->features);
    if (*at != ABSENT) return false;
    *at = (uint8_t)place;
    return true;
}

static bool context(Cursor *c) {
    if (!take(c, '{')) return false;
    if (take(c, '}')) return true;
    do {
        const Feature *f = named(c, -1);
        int64_t key;
        if (!f || !put(c, f, CONTEXT)) return false;
        if (is_number(f)) {
            if (!number_value(c, f, c->found->context_numbers + f->column)) return false;
        } else {
            if (!key_value(c, f, &key)) return false;
            put_ids(f, &key, 1, 1, c->found->context_ids + f->column, 1);
        }
    } while (take(c, ','));
    return take(c, '}');
}

// A list of a feature's values; returns how many, -1 for giving up.
static int64_t list(Cursor *c, const Feature *f) {
    const Found *found = c->found;
    int64_t rows = 0, most = found->room;
    double *numbers = found->numbers + f->column * found->room;
    if (!take(c, '[')) return -1;
    do {
        blanks(c);
        if (rows == most || !(is_number(f) ? number_value(c, f, numbers + rows) : key_value(c, f, found->keys + rows))) return -1;
        rows++;
    } while (take(c, ','));
    if (!take(c, ']')) return -1;
    int64_t F = c->reader->categories;
    for (int64_t r = 0; !is_number(f) && r < rows; r += TILE)
        put_ids(f, found->keys + r, 1, rows - r < TILE ? rows - r : TILE, found->ids + r * F + f->column, F);
    return rows;
}

static int64_t lists(Cursor *c) {
    int64_t rows = -1;
    do {
        const Feature *f = named(c, -1);
        if (!f || !put(c, f, CANDIDATES)) return -1;
        int64_t some = list(c, f);
        if (some < 0 || (rows >= 0 && some != rows)) return -1;
        rows = some;
    } while (take(c, ','));
    return take(c, '}') ? rows : -1;
}

// One candidate; returns its number of features, -1 for giving up. All have those of the first one.
static int64_t object(Cursor *c, int64_t row, int64_t features) {
    const Found *found = c->found;
    const Reader *r = c->reader;
    int64_t count = 0;
    if (!take(c, '{')) return -1;
    do {
        const Feature *f = named(c, row && count < features ? found->order[count] : -1);
        if (!f) return -1;
        int64_t index = f - r->features;
        if (!row) {
            if (!put(c, f, CANDIDATES)) return -1;
            found->order[count] = (int32_t)index;
        }
        if (found->seen[index] != row) return -1;  // twice in this row, or not in the one before
        found->seen[index] = row + 1;
        count++;
        if (is_number(f) ? !number_value(c, f, found->numbers + f->column * found->room + row)
                         : !key_value(c, f, found->keys + row % TILE * r->categories + f->column)) return -1;
    } while (take(c, ','));
    return take(c, '}') ? count : -1;
}

static void finish(const Cursor *c, int64_t features, int64_t end) {
    int64_t rows = (end - 1) % TILE + 1, F = c->reader->categories;
    for (int64_t i = 0; i < features; i++) {
        const Feature *f = c->reader->features + c->found->order[i];
        if (!is_number(f)) put_ids(f, c->found->keys + f->column, F, rows, c->found->ids + (end - rows) * F + f->column, F);
    }
}

static int64_t objects(Cursor *c) {
    int64_t rows = 0, features = 0;
    do {
        if (rows == c->found->room) return -1;
        int64_t some = object(c, rows, features);
        if (some < 0 || (rows && some != features)) return -1;
        features = some;
        if (++rows % TILE == 0) finish(c, features, rows);
    } while (take(c, ','));
    if (!take(c, ']')) return -1;
    if (rows % TILE) finish(c, features, rows);
    return rows;
}

static int64_t candidates(Cursor *c) { return take(c, '[') ? objects(c) : take(c, '{') ? lists(c) : -1; }

static bool limit(Cursor *c, int64_t *top) {
    blanks(c);
    return nothing(c) || (whole(c, top) && *top > 0);
}

// ------------------------------------------------------------------------------------------------------------ bodies

static bool spread(const Reader *r, const Found *found, int64_t rows) {
    for (int64_t i = 0; i < r->count; i++) {
        const Feature *f = r->features + i;
        if (found->places[i] == ABSENT) return false;
        if (is_number(f)) continue;
        int64_t F = r->categories;
        int32_t *ids = found->ids + f->column, shared = found->context_ids[f->column];
        int64_t *unknown = found->unknown + f->column;
        if (found->places[i] == CONTEXT) {
            for (int64_t row = 0; row < rows; row++) ids[row * F] = shared;
            *unknown = shared == UNKNOWN;
        } else for (int64_t row = 0; row < rows; row++) *unknown += ids[row * F] == UNKNOWN;
    }
    return true;
}

// Reads a body of /rank, or of /score, which has rows alone. Returns the number of rows, -1 for giving up.
EXPORT int64_t sb_read(const Reader *r, const uint8_t *body, int64_t size, Found *found, int ranks) {
    Cursor c = {r, found, body, body + size};
    int64_t rows = -1;
    bool has_context = false, has_top = false;
    if (!take(&c, '{')) return -1;
    do {
        const uint8_t *name;
        int64_t length;
        blanks(&c);
        if (!quoted(&c, &name, &length) || !take(&c, ':')) return -1;
        const char *main = ranks ? "candidates" : "rows";
        if (rows < 0 && same(name, length, (const uint8_t *)main, (int64_t)strlen(main))) {
            if ((rows = candidates(&c)) < 0) return -1;
        } else if (ranks && !has_context && same(name, length, (const uint8_t *)"context", 7)) {
            if (!context(&c)) return -1;
            has_context = true;
        } else if (ranks && !has_top && same(name, length, (const uint8_t *)"top", 3)) {
            if (!limit(&c, &found->top)) return -1;
            has_top = true;
        } else return -1;
    } while (take(&c, ','));
    if (!take(&c, '}')) return -1;
    blanks(&c);
    if (c.at != c.end || rows < 1 || !spread(r, found, rows)) return -1;
    return rows;
}
