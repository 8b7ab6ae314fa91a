/* A PKCS#11 module that wraps another one, logs some of the calls, and injects faults of a broken token.
 * MODULE, CONTROL and LOG are set on the compiler's command line: see scripts/with-tokens. The file CONTROL
 * contains the faults:
 *
 *   sign HEX     C_SignInit returns this code
 *   init HEX     C_Initialize returns this code
 *   init-hang    C_Initialize does not return until the file is replaced
 *   login HEX    C_Login returns this code
 *   login-hang HEX  C_Login to the token in this slot does not return until the file is replaced
 *   final-try    C_GetTokenInfo reports that the token locks after one more wrong PIN
 *   no-slots     C_GetSlotList returns no slots
 *   find HEX     C_FindObjectsInit returns this code
 *   open HEX     C_OpenSession returns this code
 *   blind        C_FindObjects finds nothing
 *   random HEX   C_GenerateRandom returns this code
 *   no-rng       C_GetTokenInfo reports that the token has no random number generator
 *   generate HEX C_GenerateKeyPair returns this code
 *   wrong        one bit of each signature is flipped
 *   hang         C_SignInit does not return until the file is replaced
 *   close-all N  the next C_SignInit finds all sessions of its token closed
 *   logout N     the next C_SignInit finds the login lost
 *
 * One per line. The last two happen once for each new number N, and between two calls (which may be
 * C_SignInit and C_Sign of another thread): PKCS#11 leaves open what happens to calls in progress, and
 * SoftHSM and opencryptoki crash.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long CK_RV, CK_ULONG;

/* CK_FUNCTION_LIST of PKCS#11 2.40, in its order. */
enum { INITIALIZE = 0, FINALIZE = 1, GET_SLOT_LIST = 4, GET_TOKEN_INFO = 6, OPEN_SESSION = 12, CLOSE_SESSION = 13, CLOSE_ALL_SESSIONS = 14,
       GET_SESSION_INFO = 15, LOGIN = 18, LOGOUT = 19, GET_ATTRIBUTE_VALUE = 24, FIND_OBJECTS_INIT = 26,
       FIND_OBJECTS = 27, FIND_OBJECTS_FINAL = 28, SIGN_INIT = 42, SIGN = 43,
       GENERATE_KEY_PAIR = 59, GENERATE_RANDOM = 64 };

struct function_list {
    unsigned char version[sizeof(void *)];
    void (*functions[68])(void);
};

static struct function_list list, real;
static CK_ULONG slot_of_last_session;

/* Read-locked by each call in a session, write-locked while sessions are closed. Writers have priority: on a
 * slow token, some call is always in progress. */
static pthread_rwlock_t calls = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

#define REAL(index, ...) ((CK_RV(*)(__VA_ARGS__))real.functions[index])

#define GUARDED(call) \
    pthread_rwlock_rdlock(&calls); \
    CK_RV result = call; \
    pthread_rwlock_unlock(&calls)

static void note(const char *call) {
    FILE *log = fopen(LOG, "a");
    if (log != NULL) {
        fprintf(log, "%s\n", call);
        fclose(log);
    }
}

/* Whether CONTROL contains this word; stores the number after it in `number`. */
static int told(const char *word, CK_ULONG *number) {
    char line[64], found[32];
    int is_told = 0;
    FILE *control = fopen(CONTROL, "r");
    while (control != NULL && !is_told && fgets(line, sizeof line, control) != NULL) {
        *number = 0;
        is_told = sscanf(line, "%31s %lx", found, number) > 0 && strcmp(found, word) == 0;
    }
    if (control != NULL) {
        fclose(control);
    }
    return is_told;
}

/* Whether CONTROL contains a fault that has not been injected yet. */
static int told_anew(const char *word, CK_ULONG *done) {
    CK_ULONG number;
    return told(word, &number) && __atomic_exchange_n(done, number, __ATOMIC_SEQ_CST) != number;
}

static CK_RV initialize(void *arguments) {
    CK_ULONG code;
    note("C_Initialize");
    while (told("init-hang", &code)) {
        usleep(10000);
    }
    if (told("init", &code)) {
        return code;
    }
    return REAL(INITIALIZE, void *)(arguments);
}

static CK_RV finalize(void *reserved) {
    note("C_Finalize");
    return REAL(FINALIZE, void *)(reserved);
}

static CK_RV get_slot_list(unsigned char with_token, CK_ULONG *slots, CK_ULONG *count) {
    CK_ULONG code;
    if (told("no-slots", &code)) {
        *count = 0;
        return 0;
    }
    return REAL(GET_SLOT_LIST, unsigned char, CK_ULONG *, CK_ULONG *)(with_token, slots, count);
}

/* In CK_TOKEN_INFO, the flags follow 96 bytes of text. */
static CK_RV get_token_info(CK_ULONG slot, unsigned char *info) {
    CK_ULONG code, flags;
    CK_RV result = REAL(GET_TOKEN_INFO, CK_ULONG, void *)(slot, info);
    if (result == 0 && told("final-try", &code)) {
        memcpy(&flags, info + 96, sizeof flags);
        flags |= 0x20000; /* CKF_USER_PIN_FINAL_TRY */
        memcpy(info + 96, &flags, sizeof flags);
    }
    if (result == 0 && told("no-rng", &code)) {
        memcpy(&flags, info + 96, sizeof flags);
        flags &= ~1UL; /* CKF_RNG */
        memcpy(info + 96, &flags, sizeof flags);
    }
    return result;
}

static CK_RV open_session(CK_ULONG slot, CK_ULONG flags, void *application, void *notify, CK_ULONG *session) {
    CK_ULONG code;
    note("C_OpenSession");
    if (told("open", &code)) {
        return code;
    }
    slot_of_last_session = slot;
    GUARDED(REAL(OPEN_SESSION, CK_ULONG, CK_ULONG, void *, void *, CK_ULONG *)(slot, flags, application, notify, session));
    return result;
}

static CK_RV close_session(CK_ULONG session) {
    note("C_CloseSession");
    GUARDED(REAL(CLOSE_SESSION, CK_ULONG)(session));
    return result;
}

/* CK_SESSION_INFO begins with the slot. */
static CK_ULONG slot_of(CK_ULONG session) {
    CK_ULONG info[4] = {0};
    GUARDED(REAL(GET_SESSION_INFO, CK_ULONG, void *)(session, info));
    return result == 0 ? info[0] : ~0UL;
}

static CK_RV login(CK_ULONG session, CK_ULONG user, unsigned char *pin, CK_ULONG length) {
    CK_ULONG code;
    note("C_Login");
    while (told("login-hang", &code) && code == slot_of(session)) {
        usleep(10000);
    }
    if (told("login", &code)) {
        return code;
    }
    GUARDED(REAL(LOGIN, CK_ULONG, CK_ULONG, unsigned char *, CK_ULONG)(session, user, pin, length));
    return result;
}

static CK_RV find_objects_init(CK_ULONG session, void *template, CK_ULONG count) {
    CK_ULONG code;
    note("C_FindObjectsInit");
    if (told("find", &code)) {
        return code;
    }
    GUARDED(REAL(FIND_OBJECTS_INIT, CK_ULONG, void *, CK_ULONG)(session, template, count));
    return result;
}

static CK_RV find_objects(CK_ULONG session, CK_ULONG *found, CK_ULONG most, CK_ULONG *count) {
    CK_ULONG code;
    GUARDED(REAL(FIND_OBJECTS, CK_ULONG, CK_ULONG *, CK_ULONG, CK_ULONG *)(session, found, most, count));
    if (told("blind", &code)) {
        *count = 0;
    }
    return result;
}

static CK_RV find_objects_final(CK_ULONG session) {
    GUARDED(REAL(FIND_OBJECTS_FINAL, CK_ULONG)(session));
    return result;
}

static CK_RV get_session_info(CK_ULONG session, void *info) {
    GUARDED(REAL(GET_SESSION_INFO, CK_ULONG, void *)(session, info));
    return result;
}

static CK_RV get_attribute_value(CK_ULONG session, CK_ULONG object, void *template, CK_ULONG count) {
    GUARDED(REAL(GET_ATTRIBUTE_VALUE, CK_ULONG, CK_ULONG, void *, CK_ULONG)(session, object, template, count));
    return result;
}

static CK_RV sign_init(CK_ULONG session, void *mechanism, CK_ULONG key) {
    static CK_ULONG closed, logged_out;
    CK_ULONG code;
    if (told("sign", &code)) {
        return code;
    }
    if (told("hang", &code)) {
        note("C_SignInit hangs");
    }
    while (told("hang", &code)) {
        usleep(10000);
    }
    if (told_anew("close-all", &closed)) {
        pthread_rwlock_wrlock(&calls);
        REAL(CLOSE_ALL_SESSIONS, CK_ULONG)(slot_of_last_session);
        pthread_rwlock_unlock(&calls);
    }
    if (told_anew("logout", &logged_out)) {
        pthread_rwlock_wrlock(&calls);
        REAL(LOGOUT, CK_ULONG)(session);
        pthread_rwlock_unlock(&calls);
    }
    GUARDED(REAL(SIGN_INIT, CK_ULONG, void *, CK_ULONG)(session, mechanism, key));
    return result;
}

static CK_RV sign(CK_ULONG session, unsigned char *data, CK_ULONG length, unsigned char *signature, CK_ULONG *size) {
    CK_ULONG code;
    GUARDED(REAL(SIGN, CK_ULONG, unsigned char *, CK_ULONG, unsigned char *, CK_ULONG *)(session, data, length, signature, size));
    if (result == 0 && signature != NULL && told("wrong", &code)) {
        signature[*size / 2] ^= 1;
    }
    return result;
}

static CK_RV generate_key_pair(CK_ULONG session, void *mechanism, void *public, CK_ULONG publics, void *private, CK_ULONG privates,
                               CK_ULONG *public_key, CK_ULONG *private_key) {
    CK_ULONG code;
    if (told("generate", &code)) {
        return code;
    }
    GUARDED(REAL(GENERATE_KEY_PAIR, CK_ULONG, void *, void *, CK_ULONG, void *, CK_ULONG, CK_ULONG *, CK_ULONG *)(
        session, mechanism, public, publics, private, privates, public_key, private_key));
    return result;
}

static CK_RV generate_random(CK_ULONG session, void *random, CK_ULONG length) {
    CK_ULONG code;
    if (told("random", &code)) {
        return code;
    }
    GUARDED(REAL(GENERATE_RANDOM, CK_ULONG, void *, CK_ULONG)(session, random, length));
    return result;
}

CK_RV C_GetFunctionList(struct function_list **out) {
    void *module = dlopen(MODULE, RTLD_NOW);
    if (module == NULL) {
        return 5; /* CKR_GENERAL_ERROR */
    }
    CK_RV (*get)(struct function_list **) = (CK_RV(*)(struct function_list **))dlsym(module, "C_GetFunctionList");
    struct function_list *theirs = NULL;
    CK_RV result = get == NULL ? 5 : get(&theirs);
    if (result == 0) {
        real = list = *theirs;
        list.functions[INITIALIZE] = (void (*)(void))initialize;
        list.functions[FINALIZE] = (void (*)(void))finalize;
        list.functions[GET_SLOT_LIST] = (void (*)(void))get_slot_list;
        list.functions[GET_TOKEN_INFO] = (void (*)(void))get_token_info;
        list.functions[OPEN_SESSION] = (void (*)(void))open_session;
        list.functions[CLOSE_SESSION] = (void (*)(void))close_session;
        list.functions[LOGIN] = (void (*)(void))login;
        list.functions[FIND_OBJECTS_INIT] = (void (*)(void))find_objects_init;
        list.functions[FIND_OBJECTS] = (void (*)(void))find_objects;
        list.functions[FIND_OBJECTS_FINAL] = (void (*)(void))find_objects_final;
        list.functions[GET_SESSION_INFO] = (void (*)(void))get_session_info;
        list.functions[GET_ATTRIBUTE_VALUE] = (void (*)(void))get_attribute_value;
        list.functions[SIGN_INIT] = (void (*)(void))sign_init;
        list.functions[SIGN] = (void (*)(void))sign;
        list.functions[GENERATE_KEY_PAIR] = (void (*)(void))generate_key_pair;
        list.functions[GENERATE_RANDOM] = (void (*)(void))generate_random;
        *out = &list;
    }
    return result;
}
