/* The bare limit of the search for a nonce: OpenSSL's compression function in a loop.
 *
 * midstate PREFIX_HEX MOST START COUNT: hash PREFIX and the 8 bytes of each nonce from START on, the whole blocks of
 * PREFIX once for all.  Prints how many nonces come before the first whose hash begins with a 64-bit number of at most
 * MOST (COUNT if there is none), and the processor time spent (ns).
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void put(unsigned char *to, uint64_t number)
{
    for (int i = 7; i >= 0; i--, number >>= 8)
        to[i] = (unsigned char)number;
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int count_of_words, char **words)
{
    static unsigned char content[1024];
    if (count_of_words != 5 || strlen(words[1]) > 1600)
        return 2;
    size_t before = strlen(words[1]) / 2, size = before + 8, whole = before / 64 * 64, end = (size + 9 + 63) / 64 * 64;
    for (size_t i = 0; i < before; i++)
        if (sscanf(words[1] + 2 * i, "%2hhx", content + i) != 1)
            return 2;
    uint64_t most = strtoull(words[2], NULL, 10), start = strtoull(words[3], NULL, 10);
    uint64_t count = strtoull(words[4], NULL, 10), tried = 0;
    content[size] = 0x80;
    put(content + end - 8, 8 * size);
    SHA256_CTX middle, state;
    SHA256_Init(&middle);
    for (size_t at = 0; at < whole; at += 64)
        SHA256_Transform(&middle, content + at);
    uint64_t begin = cpu_ns();
    for (; tried < count; tried++) {
        put(content + before, start + tried);
        state = middle;
        for (size_t at = whole; at < end; at += 64)
            SHA256_Transform(&state, content + at);
        if (((uint64_t)state.h[0] << 32 | state.h[1]) <= most)
            break;
    }
    printf("%" PRIu64 " %" PRIu64 "\n", tried, cpu_ns() - begin);
    return 0;
}
