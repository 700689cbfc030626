/* Estimate: tokens without a vocabulary. Every byte costs by its kind and the kind before it: a
 * letter that begins a word costs nearly a token, one inside a word little, a space inside an
 * indentation nothing. One look-up a byte, no branch, no memory; of ASCII, 32 at once.
 *
 * The weights are a least-squares fit (not negative, drawn towards a plausible weight of each kind)
 * to the counts of OpenAI's o200k_base (npm gpt-tokenizer 4.0.0) in pieces of 600 characters of
 * prose in 13 languages, C, Python, TypeScript, JSON, tables of numbers and base64. Estimated
 * against counted, whole texts:
 *
 *     English   chat +7 %, licences +2 %, Markdown -1 %    German                  -1 %, -7 %
 *     code      C +4 %, Python +1 %, TypeScript +4 %       Spanish, Dutch, Polish  +6, -6, -4 %
 *     JSON      -4 %, -3 %                                 French                  +5 %
 *     numbers   +3 %, base64 -5 %                          Chinese, Japanese, Korean, Russian,
 *     emoji      0 %                                       Arabic, Hindi           within 1 %
 *
 * A piece of 600 characters is off by 3 to 6 % on average. The texts that are not English, code or
 * JSON were small and part of the fit, so expect twice as much there. Other vocabularies differ
 * more than that: cl100k_base makes the same of English, code and JSON, but a quarter to a third
 * more tokens of German, and half as many again of Chinese. */
#include "llm/estimate.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Kinds of bytes. LINE is first: what is empty ends where a line begins. */
enum kind {
    LINE, /* line ends, tabs and other controls */
    LOWER,
    UPPER,
    DIGIT,
    SPACE,
    PUNCTUATION,
    LEAD_TWO,   /* Latin with accents, Cyrillic, Arabic, ... */
    LEAD_CJK,   /* E3 to ED */
    LEAD_THREE, /* the others: Indic scripts, dashes and quotes */
    LEAD_FOUR,  /* emoji */
    INNER,      /* the bytes behind a lead */
    KIND_COUNT
};

#define TIMES_4(x)  x, x, x, x
#define TIMES_8(x)  TIMES_4(x), TIMES_4(x)
#define TIMES_16(x) TIMES_8(x), TIMES_8(x)
#define TIMES_26(x) TIMES_16(x), TIMES_8(x), x, x

static const uint8_t kinds[256] = {
    /* 00 */ TIMES_16(LINE),
    TIMES_16(LINE),
    /* 20 */ SPACE,
    TIMES_8(PUNCTUATION),
    TIMES_4(PUNCTUATION),
    PUNCTUATION,
    PUNCTUATION,
    PUNCTUATION,
    /* 30 */ TIMES_8(DIGIT),
    DIGIT,
    DIGIT,
    TIMES_4(PUNCTUATION),
    PUNCTUATION,
    PUNCTUATION,
    /* 40 */ PUNCTUATION,
    TIMES_26(UPPER),
    TIMES_4(PUNCTUATION),
    PUNCTUATION,
    /* 60 */ PUNCTUATION,
    TIMES_26(LOWER),
    TIMES_4(PUNCTUATION),
    LINE,
    /* 80 */ TIMES_16(INNER),
    TIMES_16(INNER),
    TIMES_16(INNER),
    TIMES_16(INNER),
    /* C0 */ TIMES_16(LEAD_TWO),
    TIMES_16(LEAD_TWO),
    /* E0 */ LEAD_THREE,
    LEAD_THREE,
    LEAD_THREE,
    TIMES_8(LEAD_CJK),
    LEAD_CJK,
    LEAD_CJK,
    LEAD_CJK,
    LEAD_THREE,
    LEAD_THREE,
    /* F0 */ TIMES_16(LEAD_FOUR)};

/* What a byte costs (column) behind another (row), in LLM_ESTIMATE_PARTS of a token. Both have room
 * for four bits of a kind. */
#define ASCII_ROWS(ROW)                                                                            \
    ROW(LINE, 275, 207, 268, 20, 494, 588, 349, 547, 506, 1229, 102)                               \
    ROW(LOWER, 781, 84, 1352, 874, 59, 525, 1326, 512, 531, 1229, 102)                             \
    ROW(UPPER, 695, 599, 187, 1321, 188, 373, 630, 512, 512, 1229, 102)                            \
    ROW(DIGIT, 856, 767, 1076, 224, 383, 963, 358, 537, 512, 1229, 102)                            \
    ROW(SPACE, 616, 775, 543, 741, 0, 1102, 909, 0, 772, 1262, 102)                                \
    ROW(PUNCTUATION, 344, 726, 100, 1402, 205, 141, 368, 1225, 506, 1229, 102)
#define OTHER_ROWS(ROW)                                                                            \
    ROW(LEAD_TWO, 614, 123, 307, 410, 205, 512, 358, 512, 512, 1229, 0)                            \
    ROW(LEAD_CJK, 614, 123, 307, 410, 205, 512, 358, 512, 512, 1229, 0)                            \
    ROW(LEAD_THREE, 614, 123, 307, 410, 205, 512, 358, 512, 512, 1229, 0)                          \
    ROW(LEAD_FOUR, 614, 123, 307, 410, 205, 512, 358, 512, 512, 1229, 161)                         \
    ROW(INNER, 660, 100, 62, 410, 694, 1330, 0, 728, 0, 1255, 0)
#define WHOLE_ROW(kind, ...) [kind] = {__VA_ARGS__},

enum { ROW_LENGTH = 16 };
static const uint16_t weights[ROW_LENGTH][ROW_LENGTH] = {ASCII_ROWS(WHOLE_ROW)
                                                             OTHER_ROWS(WHOLE_ROW)};

/* The weight is looked up by two kinds at once: the last one moves up by a shift, and the one before
 * it out of the index. */
static inline uint16_t weight_behind(uint8_t *both, uint8_t byte)
{
    *both = (uint8_t)(*both << 4 | kinds[byte]);
    return (&weights[0][0])[*both];
}

static void add_each(struct llm_estimate *estimate, struct str text)
{
    const uint8_t *at = (const uint8_t *)text.data, *end = at + text.len;
    uint8_t both = estimate->previous;
    uint64_t parts = 0;
    for (; end - at >= 4; at += 4) {
        parts += weight_behind(&both, at[0]);
        parts += weight_behind(&both, at[1]);
        parts += weight_behind(&both, at[2]);
        parts += weight_behind(&both, at[3]);
    }
    while (at < end)
        parts += weight_behind(&both, *at++);
    estimate->parts += (int64_t)parts;
    estimate->previous = both & 15;
}

#if defined(__x86_64__)
/* ---- 32 bytes of ASCII at once, where the processor can: a shuffle is 32 look-ups in 16 bytes. ---- */

#define WIDE __attribute__((target("avx2")))

/* The weights between the kinds of ASCII, in two bytes: a row has room for three bits of a kind. */
enum { ASCII_KIND_COUNT = PUNCTUATION + 1, ASCII_ROW_LENGTH = 8 };
#define LOW_ROW(kind, a, b, c, d, e, f, ...)                                                       \
    [kind] = {(a)&255, (b)&255, (c)&255, (d)&255, (e)&255, (f)&255},
#define HIGH_ROW(kind, a, b, c, d, e, f, ...)                                                      \
    [kind] = {(a) >> 8, (b) >> 8, (c) >> 8, (d) >> 8, (e) >> 8, (f) >> 8},
static const uint8_t low_weights[ASCII_KIND_COUNT][ASCII_ROW_LENGTH] = {ASCII_ROWS(LOW_ROW)};
static const uint8_t high_weights[ASCII_KIND_COUNT][ASCII_ROW_LENGTH] = {ASCII_ROWS(HIGH_ROW)};

/* The kind of a byte by its upper half, if the lower half says that it is of that kind (a bit for
 * each upper half): else it is punctuation. */
static const uint8_t upper_kinds[16] = {LINE, LINE, SPACE, DIGIT, UPPER, UPPER, LOWER, LOWER};
static const uint8_t upper_bits[16] = {1, 2, 4, 8, 16, 32, 64, 128};
static const uint8_t lower_bits[16] = {0xAF, 0xFB, 0xFB, 0xFB, 0xFB, 0xFB, 0xFB, 0xFB,
                                       0xFB, 0xFB, 0xF3, 0x53, 0x53, 0x53, 0x53, 0x53};

WIDE static __m256i table_of_16(const uint8_t *table)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
}

/* Of bytes up to 0x7E. */
WIDE static __m256i wide_kinds(__m256i text)
{
    const __m256i half = _mm256_set1_epi8(15);
    __m256i lower = _mm256_and_si256(text, half);
    __m256i upper = _mm256_and_si256(_mm256_srli_epi16(text, 4), half);
    __m256i bits = _mm256_and_si256(_mm256_shuffle_epi8(table_of_16(lower_bits), lower),
                                    _mm256_shuffle_epi8(table_of_16(upper_bits), upper));
    return _mm256_blendv_epi8(_mm256_shuffle_epi8(table_of_16(upper_kinds), upper),
                              _mm256_set1_epi8(PUNCTUATION),
                              _mm256_cmpeq_epi8(bits, _mm256_setzero_si256()));
}

/* One byte of the weight of each pair (two kinds, three bits each): a look-up in two rows at a time,
 * and the bits that choose among those three. */
WIDE static __m256i wide_weights(const uint8_t rows[ASCII_KIND_COUNT][ASCII_ROW_LENGTH],
                                 __m256i pairs)
{
    __m256i first = _mm256_shuffle_epi8(table_of_16(rows[0]), pairs);
    __m256i second = _mm256_shuffle_epi8(table_of_16(rows[2]), pairs);
    __m256i third = _mm256_shuffle_epi8(table_of_16(rows[4]), pairs);
    first = _mm256_blendv_epi8(first, second, _mm256_slli_epi16(pairs, 3));
    return _mm256_blendv_epi8(first, third, _mm256_slli_epi16(pairs, 2));
}

WIDE static int64_t wide_sum(__m256i low, __m256i high)
{
    __m256i all = _mm256_add_epi64(low, _mm256_slli_epi64(high, 8));
    __m128i two = _mm_add_epi64(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    return _mm_cvtsi128_si64(two) + _mm_extract_epi64(two, 1);
}

/* As far as it is ASCII, and behind ASCII. Returns how many bytes that were. */
WIDE static size_t add_wide(struct llm_estimate *estimate, struct str text)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i low = zero, high = zero, last = _mm256_set1_epi8((char)estimate->previous);
    size_t at = 0;
    if (estimate->previous >= ASCII_KIND_COUNT)
        return 0;
    for (; text.len - at >= sizeof zero; at += sizeof zero) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(text.data + at));
        if (_mm256_movemask_epi8(_mm256_adds_epu8(bytes, _mm256_set1_epi8(1)))) /* over 0x7E */
            break;
        __m256i kind = wide_kinds(bytes), middle = _mm256_permute2x128_si256(last, kind, 0x21);
        __m256i before = _mm256_alignr_epi8(kind, middle, 15); /* moved by one, behind the last */
        __m256i pairs = _mm256_or_si256(_mm256_slli_epi16(before, 3), kind);
        low = _mm256_add_epi64(low, _mm256_sad_epu8(wide_weights(low_weights, pairs), zero));
        high = _mm256_add_epi64(high, _mm256_sad_epu8(wide_weights(high_weights, pairs), zero));
        last = kind;
    }
    estimate->parts += wide_sum(low, high);
    estimate->previous = (uint8_t)_mm256_extract_epi8(last, 31);
    return at;
}

static size_t add_ahead(struct llm_estimate *estimate, struct str text)
{
    return __builtin_cpu_supports("avx2") ? add_wide(estimate, text) : 0;
}
#else
static size_t add_ahead(struct llm_estimate *estimate, struct str text)
{
    (void)estimate;
    (void)text;
    return 0;
}
#endif

/* Every request and answer comes through here. */
void llm_estimate_add(struct llm_estimate *estimate, struct str text)
{
    enum { AHEAD_BYTES = 32 };
    while (text.len >= AHEAD_BYTES) {
        size_t done = add_ahead(estimate, text);
        if (!done)
            add_each(estimate, STR_FROM(text.data, done = AHEAD_BYTES));
        text = STR_FROM(text.data + done, text.len - done);
    }
    if (text.len)
        add_each(estimate, text);
}

int64_t llm_estimate_tokens(const struct llm_estimate *estimate)
{
    return (estimate->parts + LLM_ESTIMATE_PARTS - 1) / LLM_ESTIMATE_PARTS;
}

int64_t llm_estimate_text(struct str text)
{
    struct llm_estimate estimate = {0};
    llm_estimate_add(&estimate, text);
    return llm_estimate_tokens(&estimate);
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* What stands around the words, and what cannot be read here. A picture of usual size costs OpenAI
 * 765 to 1105, Anthropic up to 1600, Gemini 258 to 1120 tokens; a page of PDF about 2000 with its
 * picture, and some 64 kB; a second of sound 10 to 32, and some 16 kB. */
enum {
    REQUEST_TOKENS = 3,
    MESSAGE_TOKENS = 4,
    TOOL_TOKENS = 8, /* a definition, a call or a result */
    IMAGE_TOKENS = 1000,
    IMAGE_LOW_TOKENS = 85,
    PAGE_TOKENS = 2000,
    DOCUMENT_BYTES_PER_TOKEN = 32,
    AUDIO_TOKENS = 300,
    AUDIO_BYTES_PER_TOKEN = 1024,
    TEXT_BYTES_PER_TOKEN = 4,
    MEDIA_TOKENS_MAX = 100000, /* size says little of a scan: no guess beyond this */
    /* Of a long text some pieces, spread evenly, say as much as the whole: every request is
     * estimated before it is sent. Once so much of it was read, of every text a piece for so many
     * bytes: what one piece says too much another one says too little. */
    SAMPLES_MAX = 12,
    SAMPLE_BYTES = 32,
    SAMPLED_FROM_BYTES = 2 * SAMPLES_MAX * SAMPLE_BYTES,
    CLOSELY_BYTES = 256,
    SAMPLED_BYTES_MIN = 2 * SAMPLE_BYTES,
    BYTES_PER_SAMPLE = 8 * SAMPLE_BYTES
};

/* By pieces from the middles of `count` equal parts. */
static void add_sampled(struct llm_estimate *estimate, struct str text, size_t count)
{
    struct llm_estimate sampled = {0};
    size_t part = text.len / count, start = (part - SAMPLE_BYTES) / 2;
    for (size_t i = 0; i < count; i++) {
        sampled.previous = LOWER; /* it is in the middle of something */
        llm_estimate_add(&sampled, str_slice(text, start + i * part, SAMPLE_BYTES));
    }
    estimate->parts +=
        (int64_t)((double)sampled.parts * (double)text.len / (double)(count * SAMPLE_BYTES));
}

void llm_estimate_add_long(struct llm_estimate *estimate, struct str text)
{
    if (text.len < SAMPLED_FROM_BYTES)
        llm_estimate_add(estimate, text);
    else
        add_sampled(estimate, text, SAMPLES_MAX);
}

/* Of a request. */
struct count {
    struct llm_estimate estimate;
    size_t read; /* bytes of its texts that were passed by */
};

static void add_tokens(struct count *count, int64_t tokens)
{
    count->estimate.parts += tokens * LLM_ESTIMATE_PARTS;
}

/* One string of many: what stood before it does not matter. */
static void add_whole(struct count *count, struct str text)
{
    if (!text.len)
        return;
    size_t samples = text.len < BYTES_PER_SAMPLE ? 1 : text.len / BYTES_PER_SAMPLE;
    bool is_sampled =
        count->read >= CLOSELY_BYTES && text.len >= SAMPLED_BYTES_MIN && samples < SAMPLES_MAX;
    count->estimate.previous = LINE;
    count->read += text.len;
    if (is_sampled)
        add_sampled(&count->estimate, text, samples);
    else
        llm_estimate_add_long(&count->estimate, text);
}

static void add_by_size(struct count *count, const struct llm_media *media, int64_t tokens_min,
                        int64_t bytes_per_token)
{
    int64_t tokens = (int64_t)(media->data.len / 4 * 3) / bytes_per_token;
    tokens = tokens > MEDIA_TOKENS_MAX ? MEDIA_TOKENS_MAX : tokens;
    add_tokens(count, tokens < tokens_min ? tokens_min : tokens);
}

/* Text, or what is written as text, is as long as it is; of anything else the size is a hint. */
static void add_document(struct count *count, const struct llm_media *media)
{
    bool is_text = str_starts_with_nocase(media->mime, STR("text/")) ||
                   str_starts_with_nocase(media->mime, STR("application/json"));
    if (is_text && media->data.len)
        add_tokens(count,
                   (int64_t)(media->data.len / 4 * 3) / TEXT_BYTES_PER_TOKEN + MESSAGE_TOKENS);
    else
        add_by_size(count, media, PAGE_TOKENS, DOCUMENT_BYTES_PER_TOKEN);
}

/* A part that holds no others. */
static void add_leaf(struct count *count, const struct llm_part *part)
{
    switch (part->kind) {
    case LLM_PART_IMAGE:
        add_tokens(count, str_eq(part->media.detail, STR("low")) ? IMAGE_LOW_TOKENS : IMAGE_TOKENS);
        break;
    case LLM_PART_DOCUMENT:
        add_document(count, &part->media);
        break;
    case LLM_PART_AUDIO:
        add_by_size(count, &part->media, AUDIO_TOKENS, AUDIO_BYTES_PER_TOKEN);
        break;
    case LLM_PART_TOOL_CALL:
    case LLM_PART_TOOL_RESULT:
        add_tokens(count, TOOL_TOKENS);
        add_whole(count, part->name);
        add_whole(count, part->arguments);
        break;
    default:
        add_whole(count, part->text);
    }
}

static void add_message(struct count *count, const struct llm_message *message)
{
    add_tokens(count, MESSAGE_TOKENS);
    add_whole(count, message->name);
    for (size_t i = 0; i < message->part_count; i++) {
        const struct llm_part *part = &message->parts[i];
        add_leaf(count, part);
        for (size_t k = 0; k < part->content_count; k++)
            add_leaf(count, &part->content[k]);
    }
}

int64_t llm_estimate_request(const struct llm_request *request)
{
    struct count count = {0};
    add_tokens(&count, REQUEST_TOKENS);
    for (size_t i = 0; i < request->message_count; i++)
        add_message(&count, &request->messages[i]);
    for (size_t i = 0; i < request->tool_count; i++) {
        add_tokens(&count, TOOL_TOKENS);
        add_whole(&count, request->tools[i].name);
        add_whole(&count, request->tools[i].description);
        add_whole(&count, request->tools[i].schema);
    }
    add_whole(&count, request->format_name);
    add_whole(&count, request->format_description);
    add_whole(&count, request->format_schema);
    return llm_estimate_tokens(&count.estimate);
}
