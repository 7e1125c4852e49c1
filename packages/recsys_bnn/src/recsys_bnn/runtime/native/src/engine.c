// One call for a batch: ids and integers to logits. Lookup, interaction and both MLPs run over blocks of rows that stay in
// the cache.
#define _GNU_SOURCE
#include "bits.h"
#include "f32.h"
#include "inputs.h"
#include "interaction.h"
#include "ints.h"
#include <stdatomic.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

typedef struct {
    float bias, unused;
    const int64_t *offset;   // [F]
    const uint32_t *rows;    // [F]
    const int8_t *codes;
    const float *scale, *integer_weights;
} FirstOrder;

enum { SLOTS = 16 };

typedef struct {
    int32_t integers, flags, has_first_order, block;  // block: rows that run through all layers together
    int32_t bottoms, tops, threads, unused;
    const Layer *bottom, *top;
    Table table;
    int32_t methods[ROW_CLASSES], padding;  // of the interaction
    FirstOrder first;
    _Atomic(void *) slots[SLOTS];           // scratch memory that no call uses
    void *pool;
} Model;

typedef struct {
    float *inputs, *x, *y[2];
    uint8_t *prepared, *tables;
    int32_t *sums;
    int64_t ld_inputs, ld_x, ld_y;
    float *dense;          // of the integers that all rows of the last block had
    const float *shared;   // those integers; NULL if there are none
    Work work;
} Scratch;

// ---------------------------------------------------------------------------------------------------------- scratch

static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t vectors(const Model *m) { return m->table.vectors + (m->bottoms > 0); }

static int64_t top_inputs(const Model *m) { return (m->bottoms ? m->table.dim : 0) + line(vectors(m)); }

typedef struct { uint8_t *at; } Arena;  // at NULL counts the bytes

static void *take(Arena *a, int64_t bytes) {
    uint8_t *at = a->at;
    a->at = at + up(bytes, 64);
    return at;
}

static void lay_out(const Model *m, Scratch *s, Arena *a) {
    int64_t rows = m->block, wide = 0, prepared = 0, tables = 0;
    const Layer *all[2] = {m->bottom, m->top};
    for (int part = 0; part < 2; part++)
        for (int i = 0; i < (part ? m->tops : m->bottoms); i++) {
            const Layer *l = all[part] + i;
            wide = max64(wide, l->padded);
            tables = max64(tables, up(l->depth, 16) * 4);
            for (int c = 0; c < ROW_CLASSES; c++) prepared = max64(prepared, row_bytes(l, form_of(l->ways[c].kernel)));
        }
    int64_t inputs = m->integers * (m->flags ? 2 : 1), lanes = m->table.lanes;
    s->ld_inputs = up(inputs + 32, 16);
    s->ld_x = up(top_inputs(m) + 64, 16);
    s->ld_y = up(wide + 32, 16);
    s->inputs = take(a, rows * s->ld_inputs * 4);
    s->x = take(a, (rows * s->ld_x + 64) * 4);
    s->dense = take(a, up(m->table.dim, 16) * 4);
    for (int i = 0; i < 2; i++) s->y[i] = take(a, rows * s->ld_y * 4);
    s->prepared = take(a, rows * prepared + 64);
    s->tables = take(a, 4 * tables + 64);
    s->sums = take(a, (rows + 8) * 4);
    Work *w = &s->work;
    w->wide = up(m->table.dim, 16);
    for (int i = 0; i < 4; i++) {
        w->rows[i].at = take(a, lanes * (int64_t)sizeof(void *));
        w->rows[i].id = take(a, lanes * 4);
        w->rows[i].hot = take(a, lanes * 4);
        w->rows[i].share = take(a, lanes * 4);
    }
    w->scale = take(a, lanes * 4 + 64);
    w->bias = take(a, lanes * 4);
    w->codes = take(a, (lanes + 8) * w->wide * 2 + 64);
    w->values = take(a, (lanes + 8) * w->wide * 4);
    w->columns = take(a, w->wide * (lanes + 32) * 4);
    w->planes = take(a, w->wide / 4 * lanes + 64);
    w->choices = take(a, w->wide / 4 * lanes + 64);
    w->dots = take(a, lanes * 4 + 64);
}

static Scratch *new_scratch(const Model *m) {
    Scratch count;
    Arena a = {NULL};
    take(&a, sizeof(Scratch));
    lay_out(m, &count, &a);
    void *memory = NULL;
    if (posix_memalign(&memory, 64, (size_t)a.at)) return NULL;
    memset(memory, 0, (size_t)a.at);
    Arena b = {memory};
    Scratch *s = take(&b, sizeof(Scratch));
    lay_out(m, s, &b);
    if (m->table.fixed) memcpy(s->work.scale, m->table.scale, (size_t)m->table.fields * 4);
    return s;
}

static Scratch *borrow(Model *m) {
    for (int i = 0; i < SLOTS; i++) {
        void *s = atomic_exchange(&m->slots[i], NULL);
        if (s) return s;
    }
    return new_scratch(m);
}

static void give_back(Model *m, Scratch *s) {
    for (int i = 0; i < SLOTS; i++) {
        void *none = NULL;
        if (atomic_compare_exchange_strong(&m->slots[i], &none, (void *)s)) return;
    }
    free(s);
}

// ---------------------------------------------------------------------------------------------------------- forward

static void run_way(const Layer *l, const Way *w, const float *x, int64_t ldx, int64_t rows, Scratch *s, float *y, int64_t ldy) {
    enum form form = form_of(w->kernel);
    int64_t stride = row_bytes(l, form);
    if (l->input != FLOATS) prepare(l, form, x, ldx, rows, s->prepared, s->sums);
    const void *p = s->prepared;
    switch (w->kernel) {
        case F32: l->input == FLOATS ? f32_layer(l, w, x, ldx, rows, y, ldy) : f32_layer(l, w, p, stride / 4, rows, y, ldy); break;
        case INT_LOOPS: int_loops(l, w, p, stride / 2, s->sums, rows, y, ldy); break;
        case BIT_LOOPS: bit_loops(l, w, p, rows, y, ldy); break;
#if defined(__AVX2__)
        case INT_MADD16: madd16(l, w, p, stride / 2, s->sums, rows, y, ldy); break;
        case INT_MADDUBS: maddubs(l, w, p, stride, s->sums, rows, y, ldy); break;
        case BIT_LOOKUP: bit_lookup(l, w, p, stride, rows, y, ldy); break;
        case CODE_LOOKUP: code_lookup(l, w, p, stride, s->sums, rows, s->tables, y, ldy); break;
#endif
#if defined(__AVX512VNNI__)
        case INT_VNNI: vnni(l, w, p, stride, s->sums, rows, y, ldy); break;
#endif
#if defined(__AMX_INT8__) && defined(__linux__)
        case INT_AMX: amx(l, w, p, stride, s->sums, rows, y, ldy); break;
#endif
#if defined(__AVX512VPOPCNTDQ__)
        case BIT_VPOPCNT: vpopcnt(l, w, p, rows, y, ldy); break;
#endif
        default: break;
    }
}

static int class_of(int64_t rows) { return rows == 1 ? ONE_ROW : rows <= 8 ? FEW_ROWS : MANY_ROWS; }

// The layers of an MLP; the last one writes to `out`.
static void run_layers(const Layer *layers, int count, int class, const float *x, int64_t ldx, int64_t rows, Scratch *s, float *out, int64_t ldo) {
    for (int i = 0; i < count; i++) {
        int last = i == count - 1;
        float *y = last ? out : s->y[i & 1];
        int64_t ldy = last ? ldo : s->ld_y;
        run_way(layers + i, &layers[i].ways[class], x, ldx, rows, s, y, ldy);
        x = y;
        ldx = ldy;
    }
}

static void fill_inputs(const Model *m, const float *integers, int64_t rows, Scratch *s) {
    int64_t I = m->integers;
    for (int64_t r = 0; r < rows; r++) {
        const float *from = integers + r * I;
        float *to = s->inputs + r * s->ld_inputs;
        for (int64_t k = 0; k < I; k++) to[k] = from[k] == from[k] ? from[k] : 0;
        if (m->flags) for (int64_t k = 0; k < I; k++) to[I + k] = from[k] == from[k] ? 0 : 1;
    }
}

// Dense vectors of all rows. Candidates of one user share their integers, so that one row stands for all, and for those of
// the next blocks.
static void run_bottom(const Model *m, const float *integers, int64_t rows, Scratch *s) {
    int64_t same = 1, size = m->integers * (int64_t)sizeof(float), dim = m->table.dim * (int64_t)sizeof(float);
    while (same < rows && !memcmp(integers, integers + same * m->integers, (size_t)size)) same++;
    if (same < rows) {
        s->shared = NULL;
        run_layers(m->bottom, m->bottoms, class_of(rows), s->inputs, s->ld_inputs, rows, s, s->x, s->ld_x);
        return;
    }
    if (!s->shared || memcmp(integers, s->shared, (size_t)size)) {
        run_layers(m->bottom, m->bottoms, ONE_ROW, s->inputs, s->ld_inputs, 1, s, s->x, s->ld_x);
        memcpy(s->dense, s->x, (size_t)dim);
        s->shared = integers;
    }
    for (int64_t r = 0; r < rows; r++) memcpy(s->x + r * s->ld_x, s->dense, (size_t)dim);
}

static void look_up(const Model *m, int class, const int32_t *ids, int64_t rows, Scratch *s) {
    const Table *t = &m->table;
    int64_t D = m->bottoms ? t->dim : 0;
    for (int64_t r = 0; r < PREFETCH && r < rows; r++) find_rows(t, ids + r * t->fields, &s->work.rows[r & 3]);
    for (int64_t r = 0; r < rows; r++) {
        if (r + PREFETCH < rows) find_rows(t, ids + (r + PREFETCH) * t->fields, &s->work.rows[(r + PREFETCH) & 3]);
        float *x = s->x + r * s->ld_x;
        interact(t, m->methods[class], D ? x : NULL, &s->work.rows[r & 3], &s->work, x + D);
    }
}

// What the id of field, or column of a list, number f adds.
INLINE float weight_of(const FirstOrder *p, int f, int32_t number) {
    uint32_t id = (uint32_t)number;  // a negative id is a large one here
    return id < p->rows[f] ? p->scale[f] * (float)p->codes[p->offset[f] + id] : 0;
}

static float wide_part(const Model *m, const float *inputs, const int32_t *ids) {
    const FirstOrder *p = &m->first;
    const Table *t = &m->table;
    float sum = p->bias;
    for (int f = 0; f < t->singles; f++) sum += weight_of(p, f, ids[f]);
    for (int l = 0, at = t->singles; l < t->lists; at += t->widths[l++]) {
        float all = 0;
        for (int c = 0; c < t->widths[l]; c++) all += weight_of(p, at + c, ids[at + c]);
        sum += all / (float)items(ids + at, t->widths[l]);
    }
    int64_t inputs_count = m->integers * (m->flags ? 2 : 1);
    for (int64_t k = 0; k < inputs_count; k++) sum += p->integer_weights[k] * inputs[k];
    return sum;
}

static void run_block(const Model *m, const float *integers, const int32_t *ids, float *out, int64_t rows, Scratch *s) {
    int class = class_of(rows);
    fill_inputs(m, integers, rows, s);
    if (m->bottoms) run_bottom(m, integers, rows, s);
    look_up(m, class, ids, rows, s);
    float *logits = s->y[m->tops > 1 ? (m->tops - 1) & 1 : 0];
    run_layers(m->top, m->tops, class, s->x, s->ld_x, rows, s, logits, s->ld_y);
    for (int64_t r = 0; r < rows; r++) {
        out[r] = logits[r * s->ld_y];
        if (m->has_first_order) out[r] += wide_part(m, s->inputs + r * s->ld_inputs, ids + r * m->table.fields);
    }
}

// Tiny numbers become 0 within a call: they can slow a processor down a hundredfold.
static uint64_t flush_tiny(void) {
#if defined(__x86_64__)
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
#elif defined(__aarch64__)
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (1u << 24)));
    return before;
#else
    return 0;
#endif
}

static void restore_tiny(uint64_t before) {
#if defined(__x86_64__)
    _mm_setcsr((unsigned)before);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
#else
    (void)before;
#endif
}

static int run_rows(Model *m, const float *integers, const int32_t *ids, float *out, int64_t rows) {
    Scratch *s = borrow(m);
    if (!s) return 1;
    uint64_t before = flush_tiny();
    s->shared = NULL;
    for (int64_t r = 0; r < rows; r += m->block) {
        int64_t some = rows - r < m->block ? rows - r : m->block;
        run_block(m, integers + r * m->integers, ids + r * m->table.fields, out + r, some, s);
    }
    restore_tiny(before);
    give_back(m, s);
    return 0;
}

// ---------------------------------------------------------------------------------------------------------- threads

// A pool takes one batch at a time; its workers sleep in between. Each thread takes the next piece that is left.
typedef struct {
    pthread_mutex_t lock, in_use;
    pthread_cond_t work, done;
    int64_t generation;  // of the batch; below 0 the workers leave
    int open, running;   // whether the batch still takes workers, and how many are at it
    pid_t owner;
    Model *model;
    const float *integers;
    const int32_t *ids;
    float *out;
    int64_t rows, piece;
    _Atomic int64_t next;
    _Atomic int failed;
} Pool;

static void run_pieces(Pool *p) {
    Model *m = p->model;
    for (;;) {
        int64_t at = atomic_fetch_add(&p->next, p->piece);
        if (at >= p->rows) return;
        int64_t some = p->rows - at < p->piece ? p->rows - at : p->piece;
        if (run_rows(m, p->integers + at * m->integers, p->ids + at * m->table.fields, p->out + at, some)) p->failed = 1;
    }
}

static void *worker(void *argument) {
    Pool *p = argument;
    int64_t seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->generation == seen) pthread_cond_wait(&p->work, &p->lock);
        seen = p->generation;
        if (seen < 0) break;
        if (!p->open) continue;  // the others were done before this one woke up
        p->running++;
        pthread_mutex_unlock(&p->lock);
        run_pieces(p);
        pthread_mutex_lock(&p->lock);
        if (--p->running == 0) pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static Pool *new_pool(Model *m) {
    Pool *p = calloc(1, sizeof(Pool));
    if (!p) return NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->in_use, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    p->model = m;
    p->owner = getpid();
    for (int i = 1; i < m->threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker, p)) break;
        pthread_detach(thread);
    }
    return p;
}

static int run_on_pool(Pool *p, const float *integers, const int32_t *ids, float *out, int64_t rows) {
    Model *m = p->model;
    p->integers = integers; p->ids = ids; p->out = out; p->rows = rows;
    int64_t share = up((rows + m->threads - 1) / m->threads, 12);
    p->piece = share < m->block ? share : m->block;
    p->next = 0;
    p->failed = 0;
    pthread_mutex_lock(&p->lock);
    p->open = 1;
    p->generation++;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    run_pieces(p);
    pthread_mutex_lock(&p->lock);
    p->open = 0;
    while (p->running) pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return p->failed;
}

enum { SMALLEST_SHARED = 32 };  // rows; fewer are done before another thread wakes up

static int run(Model *m, const float *integers, const int32_t *ids, float *out, int64_t rows) {
    Pool *p = m->pool;
    // A forked child has no workers. A second caller at the same time does its rows alone.
    if (!p || rows < SMALLEST_SHARED || p->owner != getpid() || pthread_mutex_trylock(&p->in_use)) return run_rows(m, integers, ids, out, rows);
    int failed = run_on_pool(p, integers, ids, out, rows);
    pthread_mutex_unlock(&p->in_use);
    return failed;
}

// ---------------------------------------------------------------------------------------------------------- calls

// Sizes of the structures, so that engine.py can see that it means the same ones.
EXPORT void rb_sizes(int64_t *sizes) {
    sizes[0] = sizeof(Way); sizes[1] = sizeof(Layer); sizes[2] = sizeof(Table); sizes[3] = sizeof(FirstOrder); sizes[4] = sizeof(Model);
}

// Bit k: kernel k was compiled in. Interactions follow at bit 16.
EXPORT uint64_t rb_compiled(void) {
    uint64_t found = 1u << F32 | 1u << INT_LOOPS | 1u << BIT_LOOPS | 7u << 16;
#if defined(__AVX2__)
    found |= 1u << INT_MADD16 | 1u << INT_MADDUBS | 1u << BIT_LOOKUP | 1u << CODE_LOOKUP | 7u << 19;
#endif
#if defined(__AVX512VNNI__)
    found |= 1u << INT_VNNI;
#endif
#if defined(__AMX_INT8__) && defined(__linux__)
    found |= 1u << INT_AMX;
#endif
#if defined(__AVX512VPOPCNTDQ__)
    found |= 1u << BIT_VPOPCNT;
#endif
    return found;
}

// Before anything else. Returns whether AMX may be used.
EXPORT int rb_start(void) {
#if defined(__AVX2__)
    fill_equal_bits();
    fill_sign_products();
#endif
#if defined(__AMX_INT8__) && defined(__linux__)
    return amx_allowed();
#else
    return 0;
#endif
}

EXPORT void rb_open(Model *m) { m->pool = m->threads > 1 ? new_pool(m) : NULL; }

EXPORT void rb_close(Model *m) {
    Pool *p = m->pool;
    if (p && p->owner == getpid()) {  // the workers leave; what they still read of the pool is not freed
        pthread_mutex_lock(&p->lock);
        p->generation = -1;
        pthread_cond_broadcast(&p->work);
        pthread_mutex_unlock(&p->lock);
    }
    m->pool = NULL;
    for (int i = 0; i < SLOTS; i++) free(atomic_exchange(&m->slots[i], NULL));
}

EXPORT int rb_run(Model *m, const float *integers, const int32_t *ids, float *out, int64_t rows) { return run(m, integers, ids, out, rows); }

// NumPy's arrays as CPython lays them out (PyArrayObject_fields). Reading them here costs nanoseconds, in Python microseconds.
typedef struct {
    intptr_t references;
    const void *type;
    void *data;
    int dimensions;
    const intptr_t *shape, *strides;
    const void *base, *dtype;
} Array;

static struct { const void *array, *float32, *int32; } types;

// Learn the types; returns whether an array [2, 3] of float32 at `data` looks as it should. Nothing is believed before.
EXPORT int rb_trust(const Array *sample, const void *data, const void *array, const void *float32, const void *int32) {
    if (sample->type != array || sample->data != data || sample->dimensions != 2 || sample->dtype != float32) return 0;
    if (sample->shape[0] != 2 || sample->shape[1] != 3 || sample->strides[0] != 12 || sample->strides[1] != 4) return 0;
    types.array = array; types.float32 = float32; types.int32 = int32;
    return 1;
}

static int is_matrix(const Array *a, const void *dtype, int64_t columns) {
    if (a->type != types.array || a->dimensions != 2 || a->dtype != dtype || a->shape[1] != columns) return 0;
    return !columns || (a->strides[1] == 4 && a->strides[0] == 4 * columns);
}

// rb_run on arrays themselves; -1 if they have another form than it takes.
EXPORT int rb_call(Model *m, const Array *integers, const Array *ids, const Array *out) {
    if (!is_matrix(integers, types.float32, m->integers) || !is_matrix(ids, types.int32, m->table.fields)) return -1;
    if (integers->shape[0] != ids->shape[0] || out->shape[0] != ids->shape[0]) return -1;
    return run(m, integers->data, ids->data, out->data, ids->shape[0]);
}

static int64_t nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// Run batch after batch of the rows at hand until `limit` nanoseconds are over or `most` calls are timed; return their number.
EXPORT int64_t rb_time(Model *m, const float *integers, const int32_t *ids, float *out, int64_t rows, int64_t batch, int64_t limit, int64_t most, int64_t *took) {
    int64_t calls = 0, at = 0, start = nanoseconds(), before = start;
    while (calls < most && (calls < 3 || before - start < limit)) {
        if (run(m, integers + at * m->integers, ids + at * m->table.fields, out, batch)) return -1;
        int64_t now = nanoseconds();
        took[calls++] = now - before;
        at = at + 2 * batch <= rows ? at + batch : 0;
        before = nanoseconds();
    }
    return calls;
}

// One layer by one way, for probes and for choosing: y [rows][padded] of x [rows][ldx], `repeat` times. Returns nanoseconds.
EXPORT int64_t rb_layer(const Layer *l, int32_t way, const float *x, int64_t ldx, int64_t rows, int64_t repeat, float *y) {
    const Way *w = &l->ways[way];
    Scratch s = {0};
    if (posix_memalign((void **)&s.prepared, 64, (size_t)(rows * row_bytes(l, form_of(w->kernel)) + 64))) return -1;
    if (posix_memalign((void **)&s.tables, 64, (size_t)(up(l->depth, 16) * 16 + 64))) { free(s.prepared); return -1; }
    s.sums = calloc((size_t)rows + 8, 4);
    uint64_t before = flush_tiny();
    int64_t start = nanoseconds();
    for (int64_t i = 0; i < repeat; i++) run_way(l, w, x, ldx, rows, &s, y, l->padded);
    int64_t took = nanoseconds() - start;
    restore_tiny(before);
    free(s.prepared); free(s.tables); free(s.sums);
    return took;
}

// The lookup and interaction alone, of at most a block of rows: inputs of the top MLP [rows][D + products] from dense vectors
// [rows][D]. Returns nanoseconds.
EXPORT int64_t rb_interact(Model *m, const float *dense, const int32_t *ids, int64_t rows, int64_t repeat, int32_t method, float *out) {
    Scratch *s = rows <= m->block ? new_scratch(m) : NULL;
    if (!s) return -1;
    int64_t D = m->bottoms ? m->table.dim : 0, count = top_inputs(m);
    Model one = *m;
    for (int c = 0; c < ROW_CLASSES; c++) one.methods[c] = method;
    for (int64_t r = 0; r < rows; r++) memcpy(s->x + r * s->ld_x, dense + r * D, (size_t)D * 4);
    uint64_t before = flush_tiny();
    int64_t start = nanoseconds();
    for (int64_t i = 0; i < repeat; i++) look_up(&one, 0, ids, rows, s);
    int64_t took = nanoseconds() - start;
    restore_tiny(before);
    for (int64_t r = 0; r < rows; r++) memcpy(out + r * count, s->x + r * s->ld_x, (size_t)count * 4);
    free(s);
    return took;
}
