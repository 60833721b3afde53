/* The bare limit of sealing: OpenSSL's AES-256-GCM and SHA-256 over one buffer, again and again.
 *
 * sealing SIZE COUNT: COUNT times, encrypt SIZE bytes and hash what comes out; then COUNT times, hash that and decrypt
 * it, tag and all.  Prints the processor time of one encryption and of one decryption, each with its hash (ns).
 */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int count_of_words, char **words)
{
    if (count_of_words != 3)
        return 2;
    int size = atoi(words[1]), count = atoi(words[2]), length;
    unsigned char key[32] = {1}, nonce[12] = {2}, tag[16], digest[32];
    unsigned char *plain = calloc((size_t)size, 1), *sealed = calloc((size_t)size, 1);
    EVP_CIPHER_CTX *in = EVP_CIPHER_CTX_new(), *out = EVP_CIPHER_CTX_new();
    if (!plain || !sealed || !in || !out || size < 1 || count < 1)
        return 2;
    int good = EVP_EncryptInit_ex(in, EVP_aes_256_gcm(), NULL, key, nonce);
    good &= EVP_DecryptInit_ex(out, EVP_aes_256_gcm(), NULL, key, nonce);
    uint64_t begin = 0, middle, end;
    for (int i = -1; i < count; i++) { /* once to warm up */
        if (i == 0)
            begin = cpu_ns();
        good &= EVP_EncryptInit_ex(in, NULL, NULL, NULL, nonce);
        good &= EVP_EncryptUpdate(in, sealed, &length, plain, size);
        good &= EVP_EncryptFinal_ex(in, sealed, &length);
        good &= EVP_CIPHER_CTX_ctrl(in, EVP_CTRL_AEAD_GET_TAG, sizeof tag, tag);
        good &= EVP_Digest(sealed, (size_t)size, digest, NULL, EVP_sha256(), NULL);
    }
    middle = cpu_ns();
    for (int i = 0; i < count; i++) {
        good &= EVP_Digest(sealed, (size_t)size, digest, NULL, EVP_sha256(), NULL);
        good &= EVP_DecryptInit_ex(out, NULL, NULL, NULL, nonce);
        good &= EVP_DecryptUpdate(out, plain, &length, sealed, size);
        good &= EVP_CIPHER_CTX_ctrl(out, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag);
        good &= EVP_DecryptFinal_ex(out, plain, &length);
    }
    end = cpu_ns();
    if (good != 1)
        return 1;
    printf("%" PRIu64 " %" PRIu64 "\n", (middle - begin) / (uint64_t)count, (end - middle) / (uint64_t)count);
    return 0;
}
